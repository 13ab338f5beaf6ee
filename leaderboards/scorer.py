"""A Parity judge as a scorer of MLflow's ``genai.evaluate``."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, cast

from mlflow.entities import AssessmentSource, Feedback
from mlflow.genai.scorers import Scorer, scorer

from evalcore.errors import InputError
from evalcore.hashing import content_hash
from evalcore.judges.parsing import read_reply
from evalcore.judges.planning import Unit, calls_of
from evalcore.judges.records import Answer, Protocol
from evalcore.protocols import Completion, GenerateRequest, Request, Response, Runner
from evalcore.records import Efficiency, Example, Message
from evalcore.store import Store
from evalcore.store.store import Answered

__all__ = ["make_scorer"]

_BASELINES = ("baseline", "expected_response")


def make_scorer(runner: Runner, protocol: Protocol, *, store: Store | None = None) -> Scorer:
    """Make a judge that ``mlflow.genai.evaluate(scorers=[…])`` takes.

    Parameters
    ----------
    runner
        The judge, running; asked by one thread at a time.
    protocol
        What it is told: a protocol for single answers gives its rating, one for pairs the
        preference for the answer over ``expectations["baseline"]`` (or ``"expected_response"``),
        from 0 to 1, averaged over both orders.
    store
        A workspace: replies are kept there, and what is there is not asked again.

    Returns
    -------
    mlflow.genai.scorers.Scorer
        Named ``JUDGE/PROTOCOL``. What can't be read is an assessment error with the judge's text,
        never a number.

    Raises
    ------
    InputError
        For a protocol that ranks; and, when scoring, for a row without a baseline.
    """
    if protocol.kind == "ranking":
        raise InputError("a scorer needs a protocol for single answers or pairs; got a ranking")
    judge = runner.spec.name
    lock = threading.Lock()

    def ask(example: Example, requests: Sequence[Request]) -> list[Response]:
        with lock:
            return _responses(runner, example, requests, store=store)

    def score(
        inputs: Any = None, outputs: Any = None, expectations: Mapping[str, Any] | None = None
    ) -> Feedback:
        unit = _unit(inputs, outputs, expectations or {}, is_pair=protocol.kind == "pairwise")
        values, texts = [], []
        for call in calls_of(unit, protocol, order="both", scores_labels=False):
            responses = ask(unit.example, call.requests)
            reading = read_reply(call.prompt, responses, n_answers=len(unit.answers))
            values.append(1.0 - reading.value if call.order[0] == 1 else reading.value)
            texts.append(cast("Completion", responses[0]).text)
        source = AssessmentSource(source_type="LLM_JUDGE", source_id=judge)
        value = fmean(values) if values else 0.5  # the same answer as the baseline's
        said = "\n\n".join(texts)
        if math.isnan(value):
            return Feedback(source=source, error=ValueError(f"no verdict in: {said}"))
        return Feedback(value=value, rationale=said, source=source)

    return cast("Scorer", scorer(score, name=f"{judge}/{protocol.name}"))


def _unit(inputs: Any, outputs: Any, expectations: Mapping[str, Any], *, is_pair: bool) -> Unit:
    question = _text(inputs)
    example = Example(
        id=content_hash(["mlflow", question]), messages=(Message(role="user", content=question),)
    )
    texts = [_text(outputs)]
    if is_pair:
        given = [expectations[name] for name in _BASELINES if name in expectations]
        if not given:
            raise InputError(f"expectations must have {' or '.join(_BASELINES)}; got none")
        texts.append(str(given[0]))
    answers = tuple(
        Answer(fingerprint=str(place), texts=(text,)) for place, text in enumerate(texts)
    )
    return Unit(example=example, turn=1, answers=answers)


def _text(value: Any) -> str:
    """Take a text as it is, and the last text of a record or of messages."""
    if isinstance(value, Mapping):
        for name in ("question", "query", "prompt", "input", "response", "content", "messages"):
            if name in value:
                return _text(value[name])
        return "\n".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list) and value:
        return _text(value[-1])
    return "" if value is None else str(value)


def _responses(
    runner: Runner, example: Example, requests: Sequence[Request], *, store: Store | None
) -> list[Response]:
    fingerprint = runner.spec.fingerprint
    known = {} if store is None else store.responses(fingerprint, [item.key for item in requests])
    missing = [item for item in requests if item.key not in known]
    for finished in runner.generate(cast("list[GenerateRequest]", missing)) if missing else ():
        answered = [
            Answered(
                example_id=example.id,
                request_key=missing[place].key,
                response=response,
                params=cast("GenerateRequest", missing[place]).params,
            )
            for place, response in finished.results
        ]
        known |= {item.request_key: item.response for item in answered}
        if store is not None:
            store.add_model(runner.spec)
            store.add_examples([example])
            took: Efficiency = finished.efficiency
            store.add_responses(fingerprint, answered, task_hash=example.id, took=took)
    return [known[item.key] for item in requests]
