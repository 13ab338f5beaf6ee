"""A run example by example: prompt, answer and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalcore.records import EvalRun, Example, Generation
from evalcore.store import Store

__all__ = ["Sample", "load_samples", "prompt_text"]


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
    answers = _answers(store, run)
    return [
        Sample(example=example, answer=answers.get(example.id), values=values[example.id])
        for example in examples
    ]


def prompt_text(example: Example) -> str:
    """Write the prompt; a conversation with who says what."""
    if len(example.messages) == 1:
        return example.messages[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in example.messages)


def _answers(store: Store, run: EvalRun) -> dict[str, str]:
    """Return the newest answer to each example that was decoded as the task says."""
    if run.params.get("kind", "generate") != "generate":
        return {}
    return {
        answer.example_id: answer.text
        for answer in store.task_generations(run.spec.fingerprint, run.task_hash)
        if _decoded_as(answer, run.params.get("generation", {}))
    }


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
