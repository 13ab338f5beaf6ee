"""Time and size of a report and a site, on a workspace that this script makes.

Made-up models answer made-up tasks: shares of right answers by skill and difficulty, categories, a
perplexity task that follows a power law, people's votes and a judge's verdicts::

    python benchmarks/report.py [--models 50] [--tasks 20] [--examples 200] [--site] [--keep DIR]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evalcore.hashing import content_hash
from evalcore.judges.records import Verdict
from evalcore.protocols import Completion
from evalcore.records import (
    Adapter,
    Comparison,
    Efficiency,
    EvalRun,
    Example,
    Message,
    ModelSpec,
    SamplingParams,
    Score,
)
from evalcore.stats.intervals import mean_estimate, proportion_estimate
from evalcore.store import Store, open_store
from evalcore.store.store import Answered

CATEGORIES = ("history", "maths", "reading", "science", "writing")
NOW = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class MadeTask:
    """A task as the store takes it."""

    name: str
    hash: str
    examples: list[Example]
    settings: dict[str, object]


def make_workspace(store: Store, *, n_models: int, n_tasks: int, n_examples: int) -> None:
    rng = np.random.default_rng(0)
    specs = [_spec(place) for place in range(n_models)]
    skill = np.sort(rng.normal(0.0, 0.7, n_models))[::-1]
    for spec in specs:
        store.add_model(spec)
    for place in range(n_tasks):
        is_text = place == n_tasks - 1
        task = _task(f"task-{place:02}", n_examples)
        store.add_task(task)
        hardness = rng.normal(0.0, 1.0, n_examples)
        for model, spec in enumerate(specs):
            chance = 1.0 / (1.0 + np.exp(-(skill[model] - hardness)))
            values = (rng.random(n_examples) < chance).astype(float)
            if is_text:
                size = 1e8 * 1.3**model
                values = 4.0 * (size / 1e8) ** -0.08 + rng.normal(0, 0.1, n_examples)
            _add_run(store, spec, task, values, metric="loss" if is_text else "exact_match")
    _add_votes(store, specs, skill, rng)


def _spec(place: int) -> ModelSpec:
    base = f"base-{place % 10}"
    adapter = (Adapter(name="math", path="a/math", sha256="m" * 64),) if place >= 40 else ()
    return ModelSpec(
        name=f"{base}+math" if adapter else f"model-{place:02}",
        backend="hf",
        weights=base if adapter else f"model-{place:02}",
        sha256=content_hash(base if adapter else place) * 2,
        adapters=adapter,
        dtype="float32",
        **_size(place),
    )


def _size(place: int) -> dict[str, object]:
    n = round(1e8 * 1.3**place)
    known = {"n_parameters": n, "training_tokens": 20 * n}
    return {key: value for key, value in known.items() if key in ModelSpec.__dataclass_fields__}


def _task(name: str, n_examples: int) -> MadeTask:
    examples = [
        Example(
            id=content_hash([name, place]),
            messages=(Message(role="user", content=f"{name}, question {place}: " + "why? " * 20),),
            references=(f"answer {place}",),
            category=CATEGORIES[place % len(CATEGORIES)],
        )
        for place in range(n_examples)
    ]
    settings: dict[str, object] = {"kind": "generate", "chat": True}
    return MadeTask(name, content_hash([name, n_examples]), examples, settings)


def _add_run(
    store: Store, spec: ModelSpec, task: MadeTask, values: np.ndarray, *, metric: str
) -> None:
    took = Efficiency(
        decode_tokens=9000,
        decode_s=3.0 + len(spec.name),
        peak_memory_bytes=2 * 10**9,
        size_on_disk_bytes=10**9 + 10**7 * int(spec.fingerprint[:2], 16),
    )
    store.add_responses(
        spec.fingerprint,
        [
            Answered(
                example_id=example.id,
                request_key=content_hash(["generate", example.id]),
                params=SamplingParams(),
                response=Completion(
                    text=f"answer {place}" if value == 1.0 else f"{spec.name} thinks not. " * 8,
                    finish_reason="stop",
                    prompt_tokens=90,
                    completion_tokens=30,
                    duration_s=0.01,
                ),
            )
            for place, (example, value) in enumerate(zip(task.examples, values, strict=True))
        ],
        task_hash=task.hash,
        took=took,
    )
    shared = {"fingerprint": spec.fingerprint, "task_hash": task.hash, "metric": metric}
    store.add_scores(
        Score(example_id=example.id, value=float(value), **shared)
        for example, value in zip(task.examples, values, strict=True)
    )
    estimate = proportion_estimate if metric == "exact_match" else mean_estimate
    estimates = {metric: estimate(values)}
    for number, category in enumerate(CATEGORIES):
        estimates[f"{metric}/{category}"] = estimate(values[number :: len(CATEGORIES)])
    store.save_run(
        EvalRun(
            run_id=content_hash([spec.fingerprint, task.hash]),
            spec=spec,
            task=task.name,
            task_hash=task.hash,
            primary_metric=metric,
            higher_is_better={metric: metric == "exact_match"},
            params=task.settings,
            estimates=estimates,
            efficiency=took,
            n_examples=len(values),
            created_utc=NOW,
            code_version="0.1.0",
            environment={"python": "3.11"},
        )
    )


def _add_votes(
    store: Store, specs: list[ModelSpec], skill: np.ndarray, rng: np.random.Generator
) -> None:
    examples = [
        Example(
            id=content_hash(["prompt", n]),
            messages=(Message(role="user", content=f"Prompt {n}"),),
        )
        for n in range(40)
    ]
    store.add_examples(examples)
    store.add_comparisons(_votes(examples, specs, skill, rng))
    verdicts, comparisons = _judged(examples, specs, skill, rng)
    store.save_verdicts(verdicts)
    store.add_comparisons(comparisons)


def _votes(
    examples: list[Example], specs: list[ModelSpec], skill: np.ndarray, rng: np.random.Generator
) -> Iterator[Comparison]:
    for n in range(4000):
        a, b = rng.choice(len(specs), 2, replace=False)
        draw = rng.random() * (1 + np.exp(skill[b] - skill[a]))
        yield Comparison(
            id=f"vote-{n}",
            example_id=examples[n % len(examples)].id,
            model_a=specs[a].fingerprint,
            model_b=specs[b].fingerprint,
            winner="tie" if rng.random() < 0.15 else "model_a" if draw < 1 else "model_b",
            rater=f"rater {n % 50}",
            rater_kind="human",
            swapped=bool(n % 2),
            created_utc=f"2026-01-{1 + n // 200:02}T{n % 24:02}:00:00Z",
        )


def _judged(
    examples: list[Example], specs: list[ModelSpec], skill: np.ndarray, rng: np.random.Generator
) -> tuple[list[Verdict], list[Comparison]]:
    verdicts, comparisons = [], []
    for n in range(2000):
        a, b = rng.choice(len(specs), 2, replace=False)
        example = examples[n % len(examples)]
        score = 1.0 / (1.0 + np.exp(skill[b] - skill[a] + rng.normal(0, 0.5)))
        values = [min(1.0, score + 0.05), max(0.0, score - 0.05)]
        shared = {
            "example_id": example.id,
            "model_a": specs[a].fingerprint,
            "model_b": specs[b].fingerprint,
            "rater": "judge",
            "created_utc": NOW,
        }
        for swapped, value in zip((False, True), values, strict=True):
            verdicts.append(
                Verdict(
                    id=f"verdict-{n}-{swapped}",
                    rater_kind="judge",
                    fingerprint="j" * 32,
                    request_key="",
                    form="label",
                    turn=1,
                    swapped=swapped,
                    winner="model_a" if value > 0.5 else "model_b",
                    value=value,
                    prompt_version="pairwise-1",
                    **shared,
                )
            )
        comparisons.append(
            Comparison(
                id=f"judged-{n}",
                winner="model_a" if score > 0.5 else "model_b",
                rater_kind="judge",
                swapped=False,
                explanation="The first answer is clearer.",
                **shared,
            )
        )
    return verdicts, comparisons


def timed(what: str, work: Callable[[], object]) -> object:
    start, start_cpu = time.perf_counter(), time.process_time()
    result = work()
    took, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    print(f"{what:28} {took:7.2f} s, {cpu:7.2f} s of CPU", flush=True)
    return result


def measure(store: Store, folder: Path, *, site: bool) -> None:
    from leaderboards.standings import standings
    from reports.evidence import collect
    from reports.examples import most_disputed
    from reports.figures.all import figures
    from reports.page import html_report

    board = timed("standings", lambda: standings(store))
    evidence = timed("evidence", lambda: collect(board, store))
    timed("  figures", lambda: figures(evidence))
    timed("  examples", lambda: most_disputed(evidence, store))
    text = timed("page, with both", lambda: html_report(evidence, store))
    (folder / "report.html").write_text(text, encoding="utf-8")
    print(f"page: {len(text.encode()) / 1e6:.2f} MB")
    if site:
        from reports.site.writing import write_site

        timed("site", lambda: write_site(evidence, store, folder / "site"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--site", action="store_true", help="write a site, too")
    parser.add_argument("--keep", type=Path, help="folder that stays; used again if it is there")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        is_new = not (folder / "out").exists()
        with open_store(folder / "out") as store:
            if is_new:
                timed(
                    "making the workspace",
                    lambda: make_workspace(
                        store,
                        n_models=chosen.models,
                        n_tasks=chosen.tasks,
                        n_examples=chosen.examples,
                    ),
                )
            measure(store, folder, site=chosen.site)


if __name__ == "__main__":
    main()
