"""The records that everything else reads and writes.

Generations, scores and comparisons are facts: appended to the workspace, never changed. Estimates,
runs and standings are derived from them and can be computed again at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from evalcore.hashing import content_hash

__all__ = [
    "Adapter",
    "Combination",
    "Comparison",
    "Efficiency",
    "Estimate",
    "EvalRun",
    "Example",
    "FinishReason",
    "Generation",
    "Image",
    "Message",
    "ModelSpec",
    "Openness",
    "OpennessLevel",
    "RaterKind",
    "Role",
    "SamplingParams",
    "Score",
    "Standing",
    "Winner",
    "utc_now",
]

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "error"]
Winner = Literal["model_a", "model_b", "tie", "both_bad"]
RaterKind = Literal["human", "judge", "rule", "simulated"]
OpennessLevel = Literal["open", "partly", "closed"]


def utc_now() -> str:
    """Return the present time in UTC, ISO 8601 to the second, such as ``2026-11-22T19:30:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture that a prompt speaks of."""

    path: str
    """Where it lies; not part of what it is."""
    sha256: str
    """Hash of the file's bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA adapter in a stack; the model becomes W + Σ weight·B·A."""

    name: str
    """Name for people; the folder's name unless said otherwise."""
    path: str
    """Folder that holds ``adapter_config.json`` and the weights."""
    weight: float = 1.0
    """Factor on the adapter's own scaled product B·A."""
    sha256: str = ""
    """Hash over the adapter's files; empty until resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Openness:
    """What of a model is there for everybody, after Liesenfeld et al. (2023) [1]_.

    References
    ----------
    .. [1] Liesenfeld, Lopez & Dingemanse (2023), Opening up ChatGPT: tracking openness,
       transparency, and accountability in instruction-tuned text generators, CUI '23.
    """

    weights: OpennessLevel
    """``partly``: behind a form, as a difference to other weights, or for some uses only."""
    data: OpennessLevel
    """What it was trained on, its base's data included; ``partly``: described, or some of it."""
    code: OpennessLevel
    """What trained it; ``partly``: only what runs it, or some of it."""

    @property
    def is_full_stack(self) -> bool:
        """Whether weights, data and code are all open."""
        return {self.weights, self.data, self.code} == {"open"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Another way to put adapters together than side by side with the base; it is another model."""

    method: str
    """Such as ``ties``, by peft's names; ``merge`` is the exact sum, added to the weights in single
    precision before they are rounded or quantised."""
    density: float | None = None
    """Share of the values that is kept, in (0, 1], where the method drops some."""
    rank: int | None = None
    """Rank of the result, where the method chooses one; None means the adapters' highest."""
    seed: int | None = None
    """Of what is dropped at random, where the method does that."""

    @property
    def is_merged(self) -> bool:
        """Whether it is part of the weights, so that it can't be switched."""
        return self.method == "merge"

    @property
    def words(self) -> str:
        """The method with what it was given, such as ``dare_ties 0.5, seed 1``."""
        density = "" if self.density is None else f" {self.density:g}"
        rank = "" if self.rank is None else f", rank {self.rank}"
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.method}{density}{rank}{seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A variant: base weights, quantisation, adapter stack and chat template.

    ``licence``, ``openness``, ``training_cost_usd``, ``n_parameters`` and ``training_tokens`` are
    what a leaderboard filters by and draws. They come from the catalogue (for hub ids that it
    lists, too) and from the weight files, are None where nobody says, and are not part of the
    fingerprint.
    """

    name: str
    """Name for people, unique within a run."""
    backend: str
    """Which runner loads it: ``hf``, ``gguf``, ``openai`` or ``fake``."""
    weights: str
    """Folder, file, hub id or served model."""
    revision: str | None = None
    """Commit, tag or branch of a hub id."""
    sha256: str = ""
    """Hash over weight, configuration and tokenizer files; empty where the files are elsewhere."""
    quantization: str | None = None
    """Such as ``int8`` or ``nf4``; None means not quantised."""
    adapters: tuple[Adapter, ...] = ()
    """The stack, in the order of application."""
    combination: Combination | None = None
    """How the adapters are put together; None means as their exact sum."""
    dtype: str | None = None
    """``float32``, ``bfloat16`` or ``float16``."""
    device: str = "auto"
    """Where it runs; not part of the fingerprint."""
    chat_template: str | None = None
    """Name of a template that replaces the model's own, or None."""
    options: tuple[tuple[str, str], ...] = ()
    """Further settings of the backend that change an output, sorted by name."""
    access: tuple[tuple[str, str], ...] = ()
    """How a served model is reached, such as its limits, sorted by name; not part of the
    fingerprint."""
    licence: str | None = None
    """SPDX identifier or the licence's name."""
    openness: Openness | None = None
    """Whether weights, data and code are there for everybody."""
    training_cost_usd: float | None = None
    """Published cost of making it from its base, in US dollars."""
    n_parameters: int | None = None
    """Weights of the base, adapters left out, however they are quantised."""
    training_tokens: int | None = None
    """Tokens that the base was trained on from nothing, each counted as often as it was read."""

    @property
    def training_flops(self) -> float | None:
        """Compute that trained the base, C ≈ 6·N·D; None where N or D is unknown.

        Kaplan et al. (2020), Scaling laws for neural language models, section 2.1: two operations
        for a weight and token forwards, four backwards. N counts embeddings here, too.
        """
        if self.n_parameters is None or self.training_tokens is None:
            return None
        return 6.0 * self.n_parameters * self.training_tokens

    @property
    def fingerprint(self) -> str:
        """Hash over everything that changes an output; names, device and licence do not.

        Files count by their content, not by their place: a model that was moved keeps its results.
        """
        return _variant_hash(
            self.backend,
            self.sha256 or (self.weights, self.revision),
            self.quantization,
            tuple((a.sha256 or a.path, float(a.weight)) for a in self.adapters),
            self.dtype,
            self.chat_template,
            tuple((key, value) for key, value in self.options),
            self.combination,
        )

    @property
    def base(self) -> ModelSpec:
        """The same model without adapters and with no name: what has to be resident to run it."""
        return replace(
            self.with_adapters(()),
            name="",
            licence=None,
            openness=None,
            training_cost_usd=None,
            n_parameters=None,
            training_tokens=None,
        )

    def with_adapters(self, adapters: tuple[Adapter, ...]) -> ModelSpec:
        """Return the same model with another stack; without one there is nothing to combine."""
        return replace(self, adapters=adapters, combination=self.combination if adapters else None)


@lru_cache(maxsize=4096)  # a large board asks for the same ones tens of thousands of times
def _variant_hash(
    backend: str,
    where: str | tuple[str, str | None],
    quantization: str | None,
    adapters: tuple[tuple[str, float], ...],
    dtype: str | None,
    chat_template: str | None,
    options: tuple[tuple[str, str], ...],
    combination: Combination | None,
) -> str:
    content: dict[str, Any] = {
        "backend": backend,
        "weights": where,
        "quantization": quantization,
        "adapters": adapters,
        "dtype": dtype,
        "chat_template": chat_template,
        "options": options,
    }
    if combination is not None:  # exact sums keep the hashes that they always had
        content["combination"] = asdict(combination)
    return content_hash(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How an answer is decoded; temperature 0 is greedy."""

    max_new_tokens: int = 256
    """Most tokens generated, at least 1."""
    temperature: float = 0.0
    """0 takes the likeliest token and ignores the other settings and the seed."""
    top_p: float = 1.0
    """Smallest set of tokens with at least this probability; in (0, 1]."""
    top_k: int = 0
    """This many likeliest tokens; 0 means all."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer; they are not part of it."""
    seed: int = 0
    """With the request, fixes a sampled answer, whatever else is in the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One item of a task or prompt set."""

    id: str
    """Content hash."""
    messages: tuple[Message, ...]
    """The prompt, last turn by the user; for perplexity the text as a single message."""
    follow_ups: tuple[str, ...] = ()
    """What the user says next, one text after each answer of the model."""
    references: tuple[str, ...] = ()
    """Right answers; with choices, those among them that are right."""
    choices: tuple[str, ...] = ()
    """Answers to choose from by log-likelihood."""
    category: str | None = None
    """Label to break results down by."""
    group: str | None = None
    """Cluster: examples of one group are not independent of each other."""
    images: tuple[Image, ...] = ()
    """Pictures that the prompt speaks of, shown in the first turn of the user."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the file says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A model's answer to one request."""

    example_id: str
    fingerprint: str
    """Of the model."""
    request_key: str
    """Hash of prompt and parameters; with the fingerprint, the key in the store."""
    previous_key: str | None = None
    """Request of the turn before; None for the first turn of a conversation."""
    params: SamplingParams
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    duration_s: float
    """Wall-clock time of the batch divided by its answers."""
    first_token_logprobs: Mapping[str, float] | None = None
    """Natural logarithms of the likeliest first tokens' probabilities, where they were asked."""
    cost_usd: float | None = None
    """What the call cost when it was made; None where nothing is paid or the price is unknown."""
    created_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric's value for one example and one model."""

    example_id: str
    fingerprint: str
    """Of the model."""
    task_hash: str
    """Content hash of the task: definition, examples and few-shot examples."""
    metric: str
    value: float
    """nan = could not be scored: left out of means, and counted. Perplexities: nats per unit."""
    weight: float = 1.0
    """Units behind the value (tokens, words or bytes of a perplexity); 1 for plain means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its uncertainty."""

    value: float
    low: float
    """Lower end of the interval; nan or -inf where the data give none."""
    high: float
    """Upper end of the interval; nan or inf where the data give none."""
    confidence_level: float
    method: str
    """How the interval was made."""
    n: int
    """Scored observations."""
    n_unscored: int = 0
    """Observations left out because they could not be scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A vote or a verdict: which of two answers to one example is better."""

    id: str
    example_id: str
    model_a: str
    """Fingerprint or name."""
    model_b: str
    winner: Winner
    rater: str
    """Who judged: a rater's pseudonym or a judge's name."""
    rater_kind: RaterKind
    swapped: bool
    """True if ``model_b`` was shown first."""
    created_utc: str
    explanation: str = ""
    judge_prompt_version: str | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What the work of a run took, summed over all its sessions."""

    prefill_tokens: int = 0
    prefill_s: float = 0.0
    decode_tokens: int = 0
    decode_s: float = 0.0
    peak_memory_bytes: int = 0
    """Highest resident memory of the process (of the device on CUDA)."""
    size_on_disk_bytes: int = 0
    """Weight files of base and adapters."""
    joules: float | None = None
    """Energy that the whole machine, or its GPUs, used meanwhile; None where it doesn't tell."""

    @property
    def joules_per_token(self) -> float:
        """Energy for each token read or generated; nan if it is not known or there were none."""
        n_tokens = self.prefill_tokens + self.decode_tokens
        return self.joules / n_tokens if self.joules is not None and n_tokens else float("nan")

    @property
    def prefill_tokens_per_s(self) -> float:
        """Prompt and scored tokens per second; nan if none were processed."""
        return self.prefill_tokens / self.prefill_s if self.prefill_s else float("nan")

    @property
    def decode_tokens_per_s(self) -> float:
        """Generated tokens per second; nan if none were generated."""
        return self.decode_tokens / self.decode_s if self.decode_s else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRun:
    """One model on one task."""

    run_id: str
    """Hash of fingerprint and task hash: the same work has the same id."""
    spec: ModelSpec
    task: str
    """The task's name."""
    task_hash: str
    primary_metric: str
    higher_is_better: Mapping[str, bool]
    """By metric."""
    params: Mapping[str, Any]
    """Settings of the task that shaped the requests."""
    estimates: Mapping[str, Estimate]
    """By metric; ``metric/category`` breaks one down."""
    efficiency: Efficiency
    n_examples: int
    created_utc: str
    code_version: str
    environment: Mapping[str, str]
    """Versions of the packages that can change a number, and the machine."""
    warnings: tuple[str, ...] = ()
    """What a reader has to know, such as prompts that were cut to fit the context window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A leaderboard's row."""

    rank: int | None
    """1 is best; None if the model lacks results that the board needs."""
    rank_low: int | None
    """Best rank that the data do not rule out."""
    rank_high: int | None
    """Worst rank that the data do not rule out."""
    tie_group: str
    """Letters; models that share one are not significantly different."""
    model: ModelSpec
    rating: Estimate
    metrics: Mapping[str, Estimate]
    """By ``task/metric``."""
    efficiency: Efficiency
