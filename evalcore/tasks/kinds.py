"""The three kinds of task: choice by log-likelihood, generated answers, perplexity of a text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from evalcore.hashing import content_hash
from evalcore.metrics import METRICS_VERSION, TextMetric
from evalcore.protocols import (
    Completion,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    Measurement,
    Request,
    Response,
    RollingRequest,
    ScoredExample,
)
from evalcore.records import Estimate, Example
from evalcore.tasks.definition import TaskDefinition
from evalcore.tasks.prompts import PromptBuilder

__all__ = [
    "CHOICE_METRICS",
    "PERPLEXITY_METRICS",
    "ChoiceTask",
    "FileTask",
    "GenerationTask",
    "PerplexityTask",
]


CHOICE_METRICS = ("accuracy", "accuracy_norm")
PERPLEXITY_METRICS = ("bits_per_byte", "byte_perplexity", "word_perplexity", "token_perplexity")


@dataclass(frozen=True, kw_only=True)
class FileTask:
    """What the three kinds share: a definition, its examples, its prompts and its metrics."""

    definition: TaskDefinition
    examples: Sequence[Example]
    prompts: PromptBuilder
    metric_names: tuple[str, ...]
    """The primary one first."""

    @property
    def name(self) -> str:
        """Short name, unique on a leaderboard."""
        return self.definition.name

    @property
    def kind(self) -> str:
        """What is asked."""
        return self.definition.kind

    @property
    def description(self) -> str:
        """What the task is about."""
        return self.definition.description

    @property
    def primary_metric(self) -> str:
        """The metric that the definition names first."""
        return self.metric_names[0]

    @cached_property
    def hash(self) -> str:
        """Hash over everything that shapes a score: settings, examples and worked examples."""
        shots = [shot.id for shot in self.prompts.pool]
        return content_hash([self.settings, [item.id for item in self.examples], shots])

    @property
    def settings(self) -> Mapping[str, object]:
        """The definition's settings and the version of the metrics."""
        about = {"description", "licence", "examples"}
        return {**self.definition.model_dump(exclude=about), "metrics_version": METRICS_VERSION}


class ChoiceTask(FileTask):
    """The likeliest choice is the answer.

    ``accuracy`` compares log-likelihoods of the whole choices, ``accuracy_norm`` those divided by
    the choice's length in bytes of UTF-8. Of equally likely choices the first one counts.
    """

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The metrics, more being better for all."""
        return dict.fromkeys(self.metric_names, True)

    def requests(self, example: Example) -> Sequence[Request]:
        """Make one request for each choice."""
        asked = self.prompts.build(example)
        prefix = self.prompts.answer_prefix
        return [
            LoglikelihoodRequest(
                context=asked.prompt,
                continuation=prefix + choice,
                images=asked.images,
                image_turns=asked.image_turns,
            )
            for choice in example.choices
        ]

    def score(self, example: Example, responses: Sequence[Response]) -> Mapping[str, Measurement]:
        """1 if the likeliest choice is right, else 0; nan if a log-likelihood is."""
        logprobs = [_loglikelihood(response).logprob for response in responses]
        lengths = [len(choice.encode()) for choice in example.choices]
        normed = [logprob / length for logprob, length in zip(logprobs, lengths, strict=True)]
        values = {"accuracy": logprobs, "accuracy_norm": normed}
        return {name: Measurement(_is_right(values[name], example)) for name in self.metric_names}

    def estimate(self, metric: str, items: Sequence[ScoredExample]) -> Estimate:
        """Share of right answers with Wilson's interval, or a clustered one."""
        from evalcore.stats.intervals import proportion_estimate

        values = [item.measurements[metric].value for item in items]
        return proportion_estimate(values, groups=_groups(items))


@dataclass(frozen=True, kw_only=True)
class GenerationTask(FileTask):
    """Answers are generated and measured as text."""

    metrics: Mapping[str, TextMetric]
    """By name."""

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The metrics, and for each whether more is better."""
        return {name: metric.definition.higher_is_better for name, metric in self.metrics.items()}

    def requests(self, example: Example) -> Sequence[Request]:
        """Make one request for the answer."""
        params = self.definition.generation.params()
        asked = self.prompts.build(example)
        return [
            GenerateRequest(
                prompt=asked.prompt,
                params=params,
                images=asked.images,
                image_turns=asked.image_turns,
            )
        ]

    def score(self, example: Example, responses: Sequence[Response]) -> Mapping[str, Measurement]:
        """Measure the answer by each metric; nan if generating it failed."""
        answer = _completion(responses[0])
        if answer.finish_reason == "error":
            return {name: Measurement(math.nan) for name in self.metrics}
        return {
            name: Measurement(metric.measure(answer.text, example.references))
            for name, metric in self.metrics.items()
        }

    def estimate(self, metric: str, items: Sequence[ScoredExample]) -> Estimate:
        """Sum up by the metric's own rule."""
        return self.metrics[metric].estimate(
            [item.measurements[metric].value for item in items],
            groups=_groups(items),
            texts=[_completion(item.responses[0]).text for item in items],
            references=[item.example.references for item in items],
        )


class PerplexityTask(FileTask):
    """How well a model predicts texts, whatever its tokenizer.

    With N nats for a text of U units (tokens, words between white space, bytes of UTF-8), the
    scores are N / U, weighted by U; the perplexity of all texts is exp(ΣN / ΣU), and bits per byte
    are ΣN / (ΣU ln 2). Only per-word and per-byte values compare between tokenizers.
    """

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The metrics, less being better for all."""
        return dict.fromkeys(self.metric_names, False)

    def requests(self, example: Example) -> Sequence[Request]:
        """Make one request for the whole text."""
        return [RollingRequest(text=example.messages[0].content)]

    def score(self, example: Example, responses: Sequence[Response]) -> Mapping[str, Measurement]:
        """Nats (for ``bits_per_byte`` bits) per unit; nan if the log-likelihood is."""
        (response,) = responses
        found, text = _loglikelihood(response), example.messages[0].content
        n_bytes = len(text.encode())
        units = {
            "bits_per_byte": (n_bytes, math.log(2)),
            "byte_perplexity": (n_bytes, 1.0),
            "word_perplexity": (len(text.split()), 1.0),
            "token_perplexity": (found.n_tokens, 1.0),
        }
        measurements = {}
        for name in self.metric_names:
            n, nats = units[name]
            value = -found.logprob / nats / n if n else math.nan
            measurements[name] = Measurement(value, weight=float(n))
        return measurements

    def estimate(self, metric: str, items: Sequence[ScoredExample]) -> Estimate:
        """Ratio of sums with its interval; for perplexities the exponential of both."""
        from evalcore.stats.intervals import mean_estimate

        measured = [item.measurements[metric] for item in items]
        estimate = mean_estimate(
            [item.value for item in measured],
            weights=[item.weight for item in measured],
            groups=_groups(items),
        )
        if metric == "bits_per_byte":
            return estimate
        return replace(
            estimate,
            value=_exp(estimate.value),
            low=_exp(estimate.low),
            high=_exp(estimate.high),
            method=f"exponential of {estimate.method}",
        )


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf


def _groups(items: Sequence[ScoredExample]) -> list[str] | None:
    """Return groups; an example without one is a group of its own; None if none has one."""
    if all(item.example.group is None for item in items):
        return None
    return [item.example.group or f"single {item.example.id}" for item in items]


def _completion(response: Response) -> Completion:
    if not isinstance(response, Completion):
        raise TypeError(f"expected a completion, got {type(response).__name__}")
    return response


def _loglikelihood(response: Response) -> Loglikelihood:
    if not isinstance(response, Loglikelihood):
        raise TypeError(f"expected a log-likelihood, got {type(response).__name__}")
    return response


def _is_right(values: Sequence[float], example: Example) -> float:
    if any(math.isnan(value) for value in values):
        return math.nan
    return float(example.choices[values.index(max(values))] in example.references)
