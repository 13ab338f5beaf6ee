"""A run example by example: prompt, answer and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalcore.records import EvalRun, Example, Generation
from evalcore.store import Store
from evalcore.tasks.stored import answer_keys

__all__ = ["Answers", "Sample", "load_samples", "prompt_text", "task_answers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a model made of an example."""

    example: Example
    answer: str | None
    """Generated text; None where choices or texts were scored by log-likelihood."""
    values: Mapping[str, float]
    """By metric; nan = could not be scored."""


def load_samples(store: Store, run: EvalRun) -> list[Sample]:
    """Read a run's samples from the workspace, in the task's order."""
    examples = store.examples(run.task_hash)
    values: dict[str, dict[str, float]] = {example.id: {} for example in examples}
    for score in store.scores(run.spec.fingerprint, run.task_hash):
        values[score.example_id][score.metric] = score.value
    answers = task_answers(store, [run], examples).texts
    own = run.spec.fingerprint
    return [
        Sample(example=example, answer=answers.get((own, example.id)), values=values[example.id])
        for example in examples
    ]


def prompt_text(example: Example) -> str:
    """Write the prompt; a conversation with who says what."""
    if len(example.messages) == 1:
        return example.messages[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in example.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Models' answers to the examples of a task."""

    texts: Mapping[tuple[str, str], str]
    """By fingerprint and example id; none where choices or texts were scored by log-likelihood."""
    n_uncertain: int
    """Of them, those that may be the model's answer to another task with the same example."""


def _request_keys(run: EvalRun, examples: Sequence[Example]) -> dict[str, str] | None:
    """Return the keys of a task's requests by example id; None where they can't be made again.

    See :func:`~evalcore.tasks.stored.answer_keys`.
    """
    return answer_keys(run.task, run.task_hash, run.params, examples, n_examples=run.n_examples)


def task_answers(
    store: Store,
    runs: Sequence[EvalRun],
    examples: Sequence[Example],
) -> Answers:
    """Read the answers that some models gave to a task.

    An example that several tasks share, such as one with and one without a chat template, has an
    answer for each. The task's own is found by the key of its request, which is made again from
    the stored task. Where that can't be done it is the newest one that was decoded as the task
    says, and is counted as uncertain if there is another.

    Parameters
    ----------
    store
        The workspace.
    runs
        Of one task, at least one.
    examples
        Those wanted.
    """
    run = runs[0]
    if run.params.get("kind", "generate") != "generate":
        return Answers(texts={}, n_uncertain=0)
    keys = _request_keys(run, examples)
    texts: dict[tuple[str, str], str] = {}
    candidates: Counter[tuple[str, str]] = Counter()
    models = {run.spec.fingerprint for run in runs}
    only = run.spec.fingerprint if len(runs) == 1 else None
    for answer in store.answers([example.id for example in examples], fingerprint=only):
        place = answer.fingerprint, answer.example_id
        if answer.fingerprint not in models:
            continue
        if keys is not None:
            if answer.request_key == keys[answer.example_id]:
                texts[place] = answer.text
        elif _decoded_as(answer, run.params.get("generation", {})):
            texts[place] = answer.text
            candidates[place] += 1
    return Answers(texts=texts, n_uncertain=sum(count > 1 for count in candidates.values()))


def _decoded_as(answer: Generation, settings: Mapping[str, object]) -> bool:
    params = answer.params
    return all(
        settings.get(name, value) == value
        for name, value in {
            "max_new_tokens": params.max_new_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "stop": list(params.stop),
            "seed": params.seed,
        }.items()
    )
