"""Requests with pictures, for models that read both: static batches, no sharing.

The processor of transformers puts as many tokens into a text as a picture takes; which tokens those
are depends on the model, so that texts are tokenised by it alone, and continuations are counted
from their end.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import PIL.Image
import torch

from evalcore.errors import InputError
from evalcore.images import image_bytes
from evalcore.protocols import (
    Completion,
    Finished,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    images_by_message,
)
from evalcore.records import Efficiency, Image, SamplingParams
from runners.hf.batching import decoding_batches, make_batches
from runners.hf.encoding import Encoder
from runners.hf.generation import Ending, RowStop, check_params, decode_inputs
from runners.hf.loading import Base
from runners.hf.scoring import masked_logits, summed
from runners.options import RunnerOptions
from runners.results import batch_completed, peak_memory_bytes, request_seed, total

__all__ = ["IMAGE_TOKENS", "PictureReader", "PictureRunner", "image_mark", "separately"]

IMAGE_TOKENS: Final = 576
"""What a picture counts for when batches are made: LLaVA's 24 x 24 patches."""

RequestT = TypeVar("RequestT", GenerateRequest, LoglikelihoodRequest)
ResultT = TypeVar("ResultT")
Inputs = dict[str, torch.Tensor]


class PictureReader:
    """Turns texts with pictures into what a model reads.

    Parameters
    ----------
    processor
        Of transformers.
    encoder
        Of the variant.
    window
        Most tokens that the model reads at once.
    """

    def __init__(self, processor: Any, encoder: Encoder, window: int) -> None:
        self._processor = processor
        self._encoder = encoder
        self._window = window
        if processor.tokenizer.pad_token is None:
            # Padding is masked; any token will do.
            processor.tokenizer.pad_token = processor.tokenizer.eos_token

    def length(self, request: GenerateRequest | LoglikelihoodRequest) -> int:
        """Return about how many tokens a request takes, for making batches."""
        if isinstance(request, GenerateRequest):
            (tokens,) = self._encoder.prompts([request.prompt])
            return len(tokens) + request.params.max_new_tokens + IMAGE_TOKENS * len(request.images)
        ((context, continuation),) = self._encoder.pairs([request])
        return len(context) + len(continuation) + IMAGE_TOKENS * len(request.images)

    def prompts(self, requests: Sequence[GenerateRequest]) -> Inputs:
        """Return prompts as a batch that is padded on the left.

        Raises
        ------
        InputError
            If a prompt leaves no room for its answer: with its pictures, it can't be cut.
        """
        texts = [self._encoder.text(item.prompt, n_images=_n_images(item)) for item in requests]
        inputs = self._inputs(texts, [item.images for item in requests], side="left")
        room = min(self._window - item.params.max_new_tokens for item in requests)
        self._check_fits(inputs, room)
        return inputs

    def continuations(
        self, requests: Sequence[LoglikelihoodRequest]
    ) -> tuple[Inputs, torch.Tensor, list[int]]:
        """Return contexts and continuations as a batch that is padded on the right.

        Returns
        -------
        tuple
            The inputs, of shape (n, n_tokens); where the scored tokens are predicted, of the same
            shape; and each row's number of scored tokens.

        Raises
        ------
        InputError
            If a row is longer than the window: with its pictures, it can't be cut.
        """
        texts = [self._encoder.text(item.context, n_images=_n_images(item)) for item in requests]
        plain = [
            LoglikelihoodRequest(context=text, continuation=item.continuation)
            for text, item in zip(texts, requests, strict=True)
        ]
        n_scored = [len(continuation) for _, continuation in self._encoder.pairs(plain)]
        wholes = [text + item.continuation for text, item in zip(texts, requests, strict=True)]
        inputs = self._inputs(wholes, [item.images for item in requests], side="right")
        # The last token is predicted, never read, so that one more than the window fits.
        self._check_fits(inputs, self._window + 1)
        predicted = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
        for row, (n_read, n) in enumerate(zip(_lengths(inputs), n_scored, strict=True)):
            predicted[row, n_read - n - 1 : n_read - 1] = True
        return inputs, predicted, n_scored

    def _inputs(
        self, texts: Sequence[str], images: Sequence[Sequence[Image]], *, side: str
    ) -> Inputs:
        opened = {image.sha256: _opened(image) for some in images for image in some}
        processed = self._processor(
            text=list(texts),
            images=[[opened[image.sha256] for image in some] for some in images],
            padding=True,
            padding_side=side,
            add_special_tokens=False,
            return_tensors="pt",
        )
        return dict(processed)

    def _check_fits(self, inputs: Inputs, most: int) -> None:
        longest = max(_lengths(inputs))
        if longest > most:
            raise InputError(
                f"a prompt with images must fit the model's window of {self._window} tokens with "
                f"its answer; got {longest} tokens, {most} fit"
            )


class PictureRunner:
    """Answers requests with pictures on a resident base, in static batches.

    Parameters
    ----------
    encoder
        Of the variant.
    ready
        Returns the base with the variant's adapters in place; asked before each batch.
    ending
        What ends an answer, by the parameters.
    options
        Sizes of batches.
    size_on_disk_bytes
        Of base and adapters.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        ready: Callable[[], Base],
        ending: Callable[[SamplingParams], Ending],
        options: RunnerOptions,
        size_on_disk_bytes: int,
    ) -> None:
        self._encoder = encoder
        self._ready = ready
        self._ending = ending
        self._options = options
        self._size_on_disk_bytes = size_on_disk_bytes

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Finished[Completion]]:
        """Continue each prompt; InputError for one that does not fit, or for bad parameters."""
        reader = self._reader
        for params in dict.fromkeys(replace(request.params, seed=0) for request in requests):
            check_params(params, self._ready().window)
        lengths = [reader.length(request) for request in requests]
        for members in decoding_batches(requests, lengths, self._options):
            some = [requests[index] for index in members]
            params = replace(some[0].params, seed=0)
            ending = self._ending(params)
            inputs = reader.prompts(some)
            decoded = decode_inputs(
                self._ready().model,
                inputs,
                params=params,
                seeds=[request_seed(request) for request in some],
                stop=RowStop(ending, self._encoder.decode),
            )
            yield batch_completed(
                members,
                [(n, n) for n in _lengths(inputs)],
                decoded=decoded,
                texts=ending.texts(decoded.tokens, self._encoder.decode),
                size_on_disk_bytes=self._size_on_disk_bytes,
            )

    def loglikelihood(
        self, requests: Sequence[LoglikelihoodRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Score each continuation; InputError for one that does not fit with its context."""
        empty = [place for place, request in enumerate(requests) if not request.continuation]
        if empty:
            yield Finished([(place, total([])) for place in empty], Efficiency())
        scored = [place for place, request in enumerate(requests) if request.continuation]
        lengths = [self._reader.length(requests[place]) for place in scored]
        for batch in make_batches(lengths, self._options):
            members = [scored[at] for at in batch]
            start = time.perf_counter()
            results, n_tokens = self._score([requests[place] for place in members])
            took = Efficiency(
                prefill_tokens=n_tokens,
                prefill_s=time.perf_counter() - start,
                peak_memory_bytes=peak_memory_bytes(),
                size_on_disk_bytes=self._size_on_disk_bytes,
            )
            yield Finished(list(zip(members, results, strict=True)), took)

    @torch.inference_mode()
    def _score(self, requests: Sequence[LoglikelihoodRequest]) -> tuple[list[Loglikelihood], int]:
        """Score together what has no empty continuation; also return the tokens read."""
        inputs, predicted, n_scored = self._reader.continuations(requests)
        targets = inputs["input_ids"][:, 1:][predicted[:, :-1]]
        model = self._ready().model
        device = model.get_input_embeddings().weight.device
        placed = {name: tensor.to(device) for name, tensor in inputs.items()}
        logits = masked_logits(model, placed, predicted.to(device))
        return list(summed(logits, targets.to(logits.device), n_scored)), sum(_lengths(inputs))

    @property
    def _reader(self) -> PictureReader:
        base = self._ready()
        window = base.window - base.adapters.n_virtual
        return PictureReader(base.processor, self._encoder, window)


def image_mark(processor: Any | None) -> str | None:
    """Return what a processor puts a picture's tokens in place of; None without a processor."""
    if processor is None:
        return None
    return str(getattr(processor, "boi_token", None) or processor.image_token)


def separately(
    requests: Sequence[RequestT],
    texts: Callable[[Sequence[RequestT]], Iterator[Finished[ResultT]]],
    pictures: Callable[[Sequence[RequestT]], Iterator[Finished[ResultT]]],
) -> Iterator[Finished[ResultT]]:
    """Let one function answer requests of text alone and another those with pictures."""
    shown = [place for place, request in enumerate(requests) if request.images]
    if not shown:
        yield from texts(requests)
        return
    read = [place for place, request in enumerate(requests) if not request.images]
    for places, answer in ((read, texts), (shown, pictures)):
        for finished in answer([requests[place] for place in places]) if places else ():
            results = [(places[at], result) for at, result in finished.results]
            yield Finished(results, finished.efficiency)


def _n_images(request: GenerateRequest | LoglikelihoodRequest) -> list[int]:
    return [len(images) for images in images_by_message(request)]


def _lengths(inputs: Inputs) -> list[int]:
    lengths: list[int] = inputs["attention_mask"].sum(-1).tolist()
    return lengths


def _opened(image: Image) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(image_bytes(image))).convert("RGB")
