"""How requests are put together in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalcore.protocols import GenerateRequest
from evalcore.records import SamplingParams
from runners.options import RunnerOptions

__all__ = ["decoding_batches", "make_batches"]


def make_batches(lengths: Sequence[int], options: RunnerOptions) -> list[list[int]]:
    """Split sequences into batches, longest first, without memory of what came before.

    A batch takes the longest sequences that are left, as many as fit ``options.batch_size`` and,
    padded to the longest, ``options.batch_tokens``. So a batch depends only on what is left: an
    interrupted job whose finished leading batches are removed makes the same batches again, hence
    the same numbers to the last digit. It also means that memory runs out at once or never.

    Parameters
    ----------
    lengths : (n,)
        Length of each sequence, 0 or more.
    options
        Sizes of batches.

    Returns
    -------
    list of list of int
        Positions in `lengths`; equally long sequences keep their order. Empty for n = 0.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    while order:
        longest = max(lengths[order[0]], 1)
        size = max(1, min(options.batch_size, options.batch_tokens // longest))
        batches.append(order[:size])
        order = order[size:]
    return batches


def decoding_batches(
    requests: Sequence[GenerateRequest], lengths: Sequence[int], options: RunnerOptions
) -> Iterator[list[int]]:
    """Yield positions of requests that are decoded together: alike but for prompts and seeds.

    Parameters
    ----------
    requests
        In any order.
    lengths : (n_requests,)
        Tokens of each prompt.
    options
        Sizes of batches.
    """
    groups: dict[SamplingParams, list[int]] = {}
    for index, request in enumerate(requests):
        groups.setdefault(replace(request.params, seed=0), []).append(index)
    for params, members in groups.items():
        whole = [lengths[index] + params.max_new_tokens for index in members]
        for batch in make_batches(whole, options):
            yield [members[at] for at in batch]
