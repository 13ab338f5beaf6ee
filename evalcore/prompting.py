"""Letting models answer a prompt set, conversations of several turns included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from evalcore.answering import respond
from evalcore.errors import InputError
from evalcore.executors import Executor
from evalcore.hashing import content_hash
from evalcore.protocols import Completion, GenerateRequest, Response
from evalcore.records import Example, Generation, Message, ModelSpec, SamplingParams
from evalcore.stages import Begin, Job, ReadyJob, Work
from evalcore.store import Store

__all__ = ["answer_prompts"]


def answer_prompts(
    specs: Sequence[ModelSpec],
    examples: Sequence[Example],
    store: Store,
    *,
    params: SamplingParams,
    chat: bool,
    executor: Executor,
    begin: Begin,
) -> list[Generation]:
    """Let each model answer a prompt set.

    Parameters
    ----------
    specs
        Resolved variants.
    examples
        The prompts; one with follow-ups is answered turn by turn, each turn after the model's own
        answers to those before.
    store
        What is answered there already isn't asked again.
    params
        How answers are decoded.
    chat
        Through the model's chat template; otherwise the last message is continued as plain text.
    executor, begin
        As in :func:`~evalcore.answering.respond`.

    Returns
    -------
    list of Generation
        By model, then prompt, in the order given, then turn.

    Raises
    ------
    InputError
        For several turns without a chat template.
    """
    if not chat and any(example.follow_ups for example in examples):
        raise InputError("prompts of several turns need the chat template; leave out --no-chat")
    prompts = [item.messages if chat else item.messages[-1].content for item in examples]
    jobs = [
        ReadyJob(item, GenerateRequest(prompt=prompt, params=params, images=item.images))
        for item, prompt in zip(examples, prompts, strict=True)
    ]
    store.add_examples(examples)
    respond(
        specs,
        [_turn(jobs, number=1)],
        store,
        executor=executor,
        begin=begin,
        done=lambda _spec, _work: None,
    )
    return [answer for spec in specs for answer in _answers(spec, jobs, store)]


def _turn(jobs: Sequence[Job], *, number: int) -> Work:
    name = "prompts" if number == 1 else f"prompts, turn {number}"
    key = content_hash(["prompts", [job.key for job in jobs]])
    return Work(name, key, jobs, then=partial(_next_turn, jobs, number))


def _next_turn(jobs: Sequence[Job], number: int, responses: Sequence[Response]) -> Work | None:
    """Put each answer, and what the user says next, behind the conversation so far."""
    following = []
    for job, response in zip(jobs, responses, strict=True):
        if len(job.example.follow_ups) >= number:
            asked = cast("GenerateRequest", job.request)
            said = (
                Message(role="assistant", content=cast("Completion", response).text),
                Message(role="user", content=job.example.follow_ups[number - 1]),
            )
            prompt = (*cast("tuple[Message, ...]", asked.prompt), *said)
            request = replace(asked, prompt=prompt)
            following.append(ReadyJob(job.example, request, previous_key=asked.key))
    return _turn(following, number=number + 1) if following else None


def _answers(spec: ModelSpec, jobs: Sequence[Job], store: Store) -> Iterator[Generation]:
    example_ids = [job.example.id for job in jobs]
    stored = list(store.generations(fingerprint=spec.fingerprint, example_ids=example_ids))
    by_key = {answer.request_key: answer for answer in stored}
    following = {answer.previous_key: answer for answer in stored if answer.previous_key}
    for job in jobs:
        turn = by_key.get(job.key)
        while turn is not None:
            yield turn
            turn = following.get(turn.request_key)
