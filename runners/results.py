"""What runners that decode and score in this process have in common: jobs in, results out."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from evalcore.hashing import content_hash
from evalcore.protocols import Completion, Finished, GenerateRequest, Loglikelihood
from evalcore.records import Efficiency, SamplingParams
from runners.engine.generation import Answer, GenerationJob
from runners.hf.generation import Decode, Decoded, Ending

__all__ = [
    "batch_completed",
    "completed",
    "generation_jobs",
    "peak_memory_bytes",
    "request_seed",
    "total",
]


def generation_jobs(
    requests: Sequence[GenerateRequest],
    prompts: Sequence[Sequence[int]],
    *,
    window: int,
    ending: Callable[[SamplingParams], Ending],
) -> list[GenerationJob]:
    """Make the job of each request, its prompt cut on the left to fit the window.

    Parameters
    ----------
    requests, prompts : (n,)
        What is asked, and the tokens of each.
    window
        Most tokens that the model reads at once.
    ending
        What ends an answer, by the parameters; asked once for each different ones.
    """
    params = [replace(request.params, seed=0) for request in requests]
    endings = {some: ending(some) for some in params}
    return [
        GenerationJob(
            prompt=prompt[-(window - some.max_new_tokens) :],
            params=some,
            seed=request_seed(request),
            ending=endings[some],
        )
        for request, prompt, some in zip(requests, prompts, params, strict=True)
    ]


def completed(
    answers: Sequence[Answer],
    jobs: Sequence[GenerationJob],
    prompts: Sequence[Sequence[int]],
    *,
    decode: Decode,
    size_on_disk_bytes: int,
) -> Finished[Completion]:
    """Turn answers that ended together into results; `prompts` are those before any cut."""
    results = []
    for answer in answers:
        job = jobs[answer.job]
        (text,) = job.ending.texts([answer.tokens], decode)
        completion = Completion(
            text=text,
            finish_reason="stop" if answer.stopped else "length",
            prompt_tokens=len(job.prompt),
            completion_tokens=len(answer.tokens),
            duration_s=answer.prefill_s + answer.decode_s,
            n_truncated=len(prompts[answer.job]) - len(job.prompt),
        )
        results.append((answer.job, completion))
    took = Efficiency(
        prefill_tokens=sum(completion.prompt_tokens for _, completion in results),
        prefill_s=sum(answer.prefill_s for answer in answers),
        # The first token of each row comes out of the prefill.
        decode_tokens=sum(completion.completion_tokens - 1 for _, completion in results),
        decode_s=sum(answer.decode_s for answer in answers),
        peak_memory_bytes=peak_memory_bytes(),
        size_on_disk_bytes=size_on_disk_bytes,
    )
    return Finished(results, took)


def batch_completed(
    members: Sequence[int],
    n_read: Sequence[tuple[int, int]],
    *,
    decoded: Decoded,
    texts: Sequence[str],
    size_on_disk_bytes: int,
) -> Finished[Completion]:
    """Turn the answers of a static batch into results.

    Parameters
    ----------
    members, texts : (n,)
        Positions of the requests, and their answers.
    n_read : (n, 2)
        Tokens that were read of each prompt, and those that it had before any cut.
    decoded
        The batch.
    size_on_disk_bytes
        Of base and adapters.
    """
    duration_s = (decoded.prefill_s + decoded.decode_s) / len(members)
    results = [
        (
            index,
            Completion(
                text=text,
                finish_reason="stop" if stopped else "length",
                prompt_tokens=n,
                completion_tokens=len(tokens),
                duration_s=duration_s,
                n_truncated=whole - n,
            ),
        )
        for index, (n, whole), tokens, stopped, text in zip(
            members, n_read, decoded.tokens, decoded.stopped, texts, strict=True
        )
    ]
    took = Efficiency(
        prefill_tokens=sum(n for n, _ in n_read),
        prefill_s=decoded.prefill_s,
        # The first token of each row comes out of the prefill.
        decode_tokens=sum(len(tokens) - 1 for tokens in decoded.tokens),
        decode_s=decoded.decode_s,
        peak_memory_bytes=peak_memory_bytes(),
        size_on_disk_bytes=size_on_disk_bytes,
    )
    return Finished(results, took)


def total(parts: Sequence[Loglikelihood]) -> Loglikelihood:
    """Add up; nothing at all is certain, hence 0."""
    return Loglikelihood(
        logprob=sum((part.logprob for part in parts), start=0.0),
        is_greedy=all(part.is_greedy for part in parts),
        n_tokens=sum(part.n_tokens for part in parts),
        n_truncated=sum(part.n_truncated for part in parts),
    )


def request_seed(request: GenerateRequest) -> int:
    """Return what fixes a sampled answer: it hangs on the request alone."""
    return int(content_hash([request.params.seed, request.key])[:15], 16)


def peak_memory_bytes() -> int:
    """Return the most memory that was in use so far: of all GPUs, else of this process."""
    if torch.cuda.is_available():
        return sum(
            torch.cuda.max_memory_allocated(device) for device in range(torch.cuda.device_count())
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
