import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from evalcore.hashing import content_hash
from evalcore.protocols import Completion
from evalcore.records import Efficiency, EvalRun, Example, Message, ModelSpec, Score
from evalcore.stats.intervals import mean_estimate, proportion_estimate
from evalcore.store import Store
from evalcore.store.store import Answered

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of published studies with known answers; it lies beside a checkout, not in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        reason = f"published studies are not at {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@dataclass(frozen=True)
class _Task:
    name: str
    hash: str
    examples: list[Example]
    settings: dict[str, object]


@pytest.fixture(scope="session")
def add_results():
    """Give a function that puts a model's results on a task into a workspace, as a run would."""
    return _add_results


def _add_results(
    store: Store,
    spec: ModelSpec,
    task: str,
    values: Sequence[float],
    *,
    metric: str = "exact_match",
    higher_is_better: bool = True,
    version: int = 1,
    answers: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    created_utc: str = "2026-01-01T00:00:00Z",
    efficiency: Efficiency = Efficiency(decode_tokens=900, decode_s=3.0),  # noqa: B008
) -> EvalRun:
    examples = [
        Example(
            id=content_hash([task, version, place]),
            messages=(Message(role="user", content=f"{task} question {place}?"),),
            references=(f"answer {place}",),
            category="even" if place % 2 == 0 else "odd",
            group=groups[place] if groups else None,
        )
        for place in range(len(values))
    ]
    task_hash = content_hash([task, version, len(values)])
    texts = answers or [
        e.references[0] if v else "no idea" for e, v in zip(examples, values, strict=True)
    ]
    answered = [
        Answered(
            example_id=example.id,
            request_key=content_hash(["generate", example.id]),
            response=Completion(
                text=text,
                finish_reason="stop",
                prompt_tokens=9,
                completion_tokens=3,
                duration_s=0.01,
            ),
        )
        for example, text in zip(examples, texts, strict=True)
    ]
    shared = {"fingerprint": spec.fingerprint, "task_hash": task_hash, "metric": metric}
    binary = set(values) <= {0.0, 1.0}
    run = EvalRun(
        run_id=content_hash([spec.fingerprint, task_hash]),
        spec=spec,
        task=task,
        task_hash=task_hash,
        primary_metric=metric,
        higher_is_better={metric: higher_is_better},
        params={"n_shot": 0},
        estimates={metric: (proportion_estimate if binary else mean_estimate)(values)},
        efficiency=efficiency,
        n_examples=len(values),
        created_utc=created_utc,
        code_version="0.1.0",
        environment={"python": "3.11"},
    )
    store.add_model(spec)
    store.add_task(_Task(task, task_hash, examples, {"n_shot": 0}))
    store.add_responses(spec.fingerprint, answered, task_hash=task_hash, took=efficiency)
    store.add_scores(
        Score(example_id=example.id, value=value, **shared)
        for example, value in zip(examples, values, strict=True)
    )
    store.save_run(run)
    return run
