"""The seams: what a runner, a metric and a task have to be able to do.

A runner gets every request of a job at once, so that it can share what they have in common, and
hands results back as they are ready, so that they can be stored while the rest still runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

from evalcore.errors import InputError
from evalcore.hashing import content_hash
from evalcore.records import (
    Efficiency,
    Estimate,
    Example,
    FinishReason,
    Image,
    Message,
    ModelSpec,
    SamplingParams,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Completion",
    "Distributions",
    "ExampleSet",
    "Finished",
    "GenerateRequest",
    "InspectableRunner",
    "InterleavedRunner",
    "Loglikelihood",
    "LoglikelihoodRequest",
    "Measurement",
    "Piece",
    "PlanningRunner",
    "Prompt",
    "Request",
    "Response",
    "RollingRequest",
    "Runner",
    "ScoredExample",
    "SeeingRunner",
    "StreamingRunner",
    "Task",
    "images_by_message",
]

Prompt = str | tuple[Message, ...]
"""Text is taken as it stands; messages go through the model's chat template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """Continue a prompt."""

    prompt: Prompt
    params: SamplingParams
    top_logprobs: int = 0
    """How many of the likeliest first tokens to report with their log-probabilities; a runner that
    can't reports none."""
    json_schema: str | None = None
    """JSON Schema, as JSON text, that the answer has to follow; a runner that can't hold the model
    to one leaves it to the prompt."""
    images: tuple[Image, ...] = ()
    """Shown before the text of their turns; in front of a plain text."""
    image_turns: tuple[int, ...] = ()
    """For each image the message that it is shown in, by its place in the prompt, in ascending
    order; empty: all in the first turn of the user."""
    harness_rules: bool = False
    """Whether messages are written as lm-evaluation-harness does. It takes what a template writes
    for a plain text: with the tokenizer's marks in front unless they are there. A last turn of the
    assistant is left open, and the system's is left out where the template refuses it."""

    @property
    def key(self) -> str:
        """Content hash; two requests with one key have the same answer from the same model."""
        content = ["generate", _prompt_form(self.prompt), asdict(self.params)]
        asked = [self.top_logprobs] if self.top_logprobs else []
        schema = [self.json_schema] if self.json_schema else []
        return content_hash([*content, *asked, *schema, *_images_form(self), *_rules_form(self)])


@dataclass(frozen=True, slots=True, kw_only=True)
class LoglikelihoodRequest:
    """Ask how likely a continuation is after a context.

    White space at the end of the context counts as the beginning of the continuation, and both are
    tokenised together, so that the tokens are those the model would see in running text.
    """

    context: Prompt
    """May be empty; then the continuation follows the model's first-token mark alone."""
    continuation: str
    images: tuple[Image, ...] = ()
    """Shown before the text of their turns; in front of a plain text."""
    image_turns: tuple[int, ...] = ()
    """As for :class:`GenerateRequest`."""
    harness_rules: bool = False
    """As for :class:`GenerateRequest`. And tokens that hold the end of the context with the
    beginning of the continuation are scored as the continuation's alone: what is read before them
    are the tokens of the context by itself."""

    @property
    def key(self) -> str:
        """Content hash; two requests with one key have the same answer from the same model."""
        asked = [_prompt_form(self.context), self.continuation]
        return content_hash(["loglikelihood", *asked, *_images_form(self), *_rules_form(self)])


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingRequest:
    """Ask how likely a text is, each token given all before it that fit the window."""

    text: str
    scores_marks: bool = False
    """Whether marks that the tokenizer puts in front, such as ``<s>``, are scored with the text, as
    lm-evaluation-harness does."""

    @property
    def key(self) -> str:
        """Content hash; two requests with one key have the same answer from the same model."""
        return content_hash(["rolling", self.text, *(["marks"] if self.scores_marks else [])])


Request = GenerateRequest | LoglikelihoodRequest | RollingRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Answer to a :class:`GenerateRequest`."""

    text: str
    """Without the stop string that ended it."""
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    duration_s: float
    """Wall-clock time of the batch divided by its answers."""
    n_truncated: int = 0
    """Tokens of the prompt that did not fit the window and were cut off at its beginning."""
    first_token_logprobs: Mapping[str, float] | None = None
    """The likeliest first tokens with the natural logarithms of their probabilities; None where
    they were not asked or can't be had."""
    cost_usd: float | None = None
    """What the call cost; None where nothing is paid or the price is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loglikelihood:
    """Answer to a :class:`LoglikelihoodRequest` or a :class:`RollingRequest`."""

    logprob: float
    """Natural logarithm of the probability, summed over the scored tokens."""
    is_greedy: bool
    """True if each scored token was the likeliest one."""
    n_tokens: int
    """Scored tokens; 0 for an empty continuation, whose log-probability is 0."""
    n_truncated: int = 0
    """Tokens of the context that did not fit the window and were cut off at its beginning."""


Response = Completion | Loglikelihood
ResultT = TypeVar("ResultT", covariant=True)


@dataclass(frozen=True, slots=True)
class Finished(Generic[ResultT]):
    """Results that became ready together, each with its position in the list of requests."""

    results: Sequence[tuple[int, ResultT]]
    efficiency: Efficiency
    """What this work took."""


class Runner(Protocol):
    """A running model.

    The three methods take all requests at once and yield results in any order, each exactly once.
    Left out requests must not change the others: if the first k yields of a run are removed from
    its requests, the rest gives the same numbers to the last digit. That makes an interrupted run
    equal to an uninterrupted one.
    """

    @property
    def spec(self) -> ModelSpec:
        """What is running."""

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Finished[Completion]]:
        """Continue each prompt."""

    def loglikelihood(
        self, requests: Sequence[LoglikelihoodRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Log-probability of each continuation given its context."""

    def loglikelihood_rolling(
        self, requests: Sequence[RollingRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Log-probability of each whole text."""

    def close(self) -> None:
        """Give back memory; the runner can't be used afterwards."""


@runtime_checkable
class SeeingRunner(Runner, Protocol):
    """A runner that may read pictures; one without this never does."""

    @property
    def reads_images(self) -> bool:
        """Whether its model takes requests with images."""


class PlanningRunner(Runner, Protocol):
    """A runner whose results depend, by rounding, on what it computes together."""

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Return which of a job's requests it would compute together, by position.

        Each part, asked alone, gives the numbers that it gives among the others. For generation
        that holds but for rounding; its parts have a size that is worth a call.
        """


class StreamingRunner(Runner, Protocol):
    """A runner that can also show an answer while it is being made."""

    def stream(self, request: GenerateRequest) -> Iterator[str]:
        """Yield the answer piece by piece; closing the iterator ends the generation.

        The pieces put together are the text that ``generate`` would give.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What an answer got longer by."""

    request: int
    """Position in the list of requests."""
    text: str
    """May be empty in an answer's last piece."""
    finish_reason: FinishReason | None = None
    """Why the answer ended with this piece; None while it goes on."""


class InterleavedRunner(StreamingRunner, Protocol):
    """A streaming runner that stops after every step, so that one thread can serve several.

    Variants of one base share its memory and may only be run from one thread. Between two steps of
    one, any other of them may run.
    """

    def stream_together(
        self, requests: Sequence[GenerateRequest], *, wanted: Callable[[int], bool]
    ) -> Iterator[Sequence[Piece]]:
        """Yield the pieces of each step, which may be none; closing the iterator ends them all.

        ``wanted`` is asked before each step of each answer that goes on; one that is wanted no more
        ends without a last piece. Of every other answer, the pieces put together are the text that
        ``generate`` would give.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Distributions:
    """What a model holds possible at each place of a text."""

    tokens: tuple[int, ...]
    """The text's own, without marks in front."""
    logprobs: NDArray[np.float32]
    """Natural logarithms of probabilities, shape (len(tokens), n_vocabulary): row i is what the
    text before token i predicts, after the first-token mark for i = 0."""


class InspectableRunner(Runner, Protocol):
    """A runner of a model in this process, of which more can be told than what it answers."""

    @property
    def weights_bytes(self) -> int:
        """Memory that the weights take as they are held, those of active adapters included."""

    def distributions(self, texts: Sequence[str], *, max_tokens: int) -> Iterator[Distributions]:
        """Yield the distributions of each text's first tokens, as many as asked and as fit."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's value for one example: nan if it can't be scored."""

    value: float
    weight: float = 1.0
    """Units behind the value, such as the bytes of a text; means are weighted by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredExample:
    """An example with a model's responses and what they were worth."""

    example: Example
    responses: Sequence[Response]
    """In the order of the example's requests."""
    measurements: Mapping[str, Measurement]
    """By metric."""


class ExampleSet(Protocol):
    """Examples that results belong to, and what a reader has to know of them."""

    @property
    def name(self) -> str:
        """Short name, unique on a leaderboard."""

    @property
    def hash(self) -> str:
        """Content hash over everything that shapes a score."""

    @property
    def examples(self) -> Sequence[Example]:
        """The examples, in order."""

    @property
    def settings(self) -> Mapping[str, object]:
        """What a reader has to know to repeat it: few-shot, template, stop strings, seeds."""


class Task(ExampleSet, Protocol):
    """Examples, the requests they make, and how responses are scored."""

    @property
    def primary_metric(self) -> str:
        """The metric that a leaderboard shows first."""

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The task's metrics, and for each whether more is better."""

    def requests(self, example: Example) -> Sequence[Request]:
        """Make an example's requests, all of one kind throughout a task."""

    def score(self, example: Example, responses: Sequence[Response]) -> Mapping[str, Measurement]:
        """Measure an example's responses, in the order of its requests, by metric."""

    def estimate(self, metric: str, items: Sequence[ScoredExample]) -> Estimate:
        """Sum up one metric over examples."""


def images_by_message(request: GenerateRequest | LoglikelihoodRequest) -> list[tuple[Image, ...]]:
    """Return the images of each message of a request's prompt; a plain text counts as one.

    Raises
    ------
    InputError
        If there are as many places as images, but not all in the prompt.
    """
    prompt = request.prompt if isinstance(request, GenerateRequest) else request.context
    roles = ["user"] if isinstance(prompt, str) else [message.role for message in prompt]
    first = roles.index("user") if "user" in roles else 0
    turns = request.image_turns or (first,) * len(request.images)
    if len(turns) != len(request.images) or list(turns) != sorted(turns):
        raise InputError(
            f"image_turns must be in ascending order, one for each of {len(request.images)} "
            f"images; got {list(turns)}"
        )
    if turns and not 0 <= turns[0] <= turns[-1] < len(roles):
        raise InputError(f"image_turns must be in [0, {len(roles) - 1}]; got {list(turns)}")
    return [
        tuple(image for image, turn in zip(request.images, turns, strict=True) if turn == place)
        for place in range(len(roles))
    ]


def _images_form(request: GenerateRequest | LoglikelihoodRequest) -> list[object]:
    """Pictures count by their bytes, wherever they lie; a request without any stays as it was."""
    if not request.images:
        return []
    turns = {"turns": list(request.image_turns)} if request.image_turns else {}
    return [{"images": [image.sha256 for image in request.images], **turns}]


def _rules_form(request: GenerateRequest | LoglikelihoodRequest) -> list[object]:
    return ["harness rules"] if request.harness_rules else []


def _prompt_form(prompt: Prompt) -> object:
    if isinstance(prompt, str):
        return prompt
    return [[message.role, message.content] for message in prompt]
