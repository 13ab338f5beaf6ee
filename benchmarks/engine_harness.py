"""lm-evaluation-harness's hf backend and transformers' ``generate``, in a process of their own.

Parity changes how its process handles memory; the other side must not gain by that, or lose.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine_measure import Setup, timed

from evalcore.protocols import GenerateRequest, LoglikelihoodRequest, RollingRequest

__all__ = ["Harness", "started"]

Scoring = Sequence[LoglikelihoodRequest] | Sequence[RollingRequest]


class Harness:
    """Sends work to the other process, and says how long that took there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def score(self, requests: Scoring, size: int) -> tuple[float, list[Any]]:
        """Return seconds and what ``loglikelihood`` or ``loglikelihood_rolling`` returns."""
        return self._ask("_score", requests, size)

    def generate_until(self, requests: Sequence[GenerateRequest], size: int) -> tuple[float, Any]:
        """Return seconds and the texts of ``generate_until``."""
        return self._ask("_generate_until", requests, size)

    def generate(self, requests: Sequence[GenerateRequest], size: int) -> tuple[float, Any]:
        """Return seconds and the texts of ``generate`` on batches sorted by length."""
        return self._ask("_generate", requests, size)

    def _ask(self, *call: object) -> tuple[float, Any]:
        self._connection.send(call)
        seconds, results = self._connection.recv()
        return float(seconds), results


@contextmanager
def started(folder: Path, setup: Setup) -> Iterator[Harness]:
    """Start the process and let it load a model; the first thing asked waits for it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, folder, setup), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Harness(ours)
    finally:
        ours.close()
        process.join()


def _serve(connection: Connection, folder: Path, setup: Setup) -> None:
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(setup.n_threads)
    calls = {
        "_score": _score,
        "_generate_until": _generate_until,
        "_generate": _generate,
    }
    harness = HFLM(pretrained=str(folder), dtype="float32", device=setup.device)
    while True:
        try:
            name, requests, size = connection.recv()
        except EOFError:
            return
        connection.send(timed(lambda: calls[name](harness, requests, size), setup))  # noqa: B023


def _score(harness: Any, requests: Scoring, size: int) -> list[Any]:
    from lm_eval.api.instance import Instance

    is_rolling = isinstance(requests[0], RollingRequest)
    kind = "loglikelihood_rolling" if is_rolling else "loglikelihood"
    instances = [
        Instance(request_type=kind, doc={}, arguments=_arguments(request), idx=0)
        for request in requests
    ]
    harness.batch_size_per_gpu = size
    results: list[Any] = getattr(harness, kind)(instances, disable_tqdm=True)
    return results


def _arguments(request: LoglikelihoodRequest | RollingRequest) -> tuple[str, ...]:
    if isinstance(request, RollingRequest):
        return (request.text,)
    return (str(request.context), request.continuation)


def _generate_until(harness: Any, requests: Sequence[GenerateRequest], size: int) -> list[str]:
    from lm_eval.api.instance import Instance

    harness.batch_size_per_gpu = size
    instances = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(
                request.prompt,
                {
                    "until": list(request.params.stop),
                    "max_gen_toks": request.params.max_new_tokens,
                },
            ),
            idx=0,
        )
        for request in requests
    ]
    answers: list[str] = harness.generate_until(instances, disable_tqdm=True)
    return answers


def _generate(harness: Any, requests: Sequence[GenerateRequest], size: int) -> list[str]:
    import torch

    tokenizer = harness.tokenizer
    tokenizer.padding_side = "left"
    prompts = [str(request.prompt) for request in requests]
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    params = requests[0].params
    answers: dict[int, str] = {}
    for start in range(0, len(order), size):
        members = order[start : start + size]
        encoded = tokenizer(
            [prompts[place] for place in members], padding=True, return_tensors="pt"
        ).to(harness.device)
        with torch.inference_mode():
            out = harness.model.generate(
                **encoded,
                max_new_tokens=params.max_new_tokens,
                do_sample=False,
                stop_strings=list(params.stop),
                tokenizer=tokenizer,
                pad_token_id=tokenizer.pad_token_id,
            )
        new = out[:, encoded["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        answers.update(zip(members, texts, strict=True))
    return [_cut(answers[place], params.stop) for place in range(len(prompts))]


def _cut(text: str, stop: Sequence[str]) -> str:
    for string in stop:
        text = text.split(string)[0]
    return text
