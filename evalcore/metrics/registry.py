"""The table of metrics for generated text, their options, and how each is summed up."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from evalcore.errors import TaskError
from evalcore.metrics import safety, text
from evalcore.metrics.corpus import CorpusMetric, corpus_estimate, sentence_score
from evalcore.records import Estimate

__all__ = ["METRICS", "METRICS_VERSION", "MetricDefinition", "TextMetric", "text_metric"]

METRICS_VERSION = 1
"""Part of every task's hash: raised when a metric's meaning changes, so that old scores stay."""

Kind = Literal["proportion", "mean", "corpus"]
Measure = Callable[[str, Sequence[str], Mapping[str, Any]], float]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What a metric is."""

    measure: Measure
    """Value for an answer, its references and the options; nan if it can't be scored."""
    kind: Kind
    """Summed up by Wilson's interval, by the mean, or over all answers together."""
    options: Mapping[str, type] = field(default_factory=dict)
    needs_references: bool = True
    higher_is_better: bool = True


def _regex_match(answer: str, references: Sequence[str], options: Mapping[str, Any]) -> float:
    found = re.search(options["pattern"], answer)
    if found is None:
        return 0.0
    extracted = found.group(1) if found.re.groups else found.group(0)
    return text.exact_match(extracted or "", references)


def _format_following(answer: str, _references: Sequence[str], options: Mapping[str, Any]) -> float:
    answer = answer.strip()
    fits = [
        "pattern" not in options or re.fullmatch(options["pattern"], answer, re.DOTALL),
        "max_words" not in options or len(answer.split()) <= options["max_words"],
        not options.get("json") or _is_json(answer),
    ]
    return float(all(fits))


def _is_json(answer: str) -> bool:
    try:
        json.loads(answer)
    except ValueError:
        return False
    return True


def _sentence(name: CorpusMetric) -> Measure:
    return lambda answer, references, _options: sentence_score(name, answer, references)


METRICS: Mapping[str, MetricDefinition] = {
    "exact_match": MetricDefinition(
        lambda answer, references, options: text.exact_match(answer, references, **options),
        "proportion",
        {"ignore_case": bool, "ignore_punctuation": bool},
    ),
    "contains": MetricDefinition(
        lambda answer, references, options: text.contains(answer, references, **options),
        "proportion",
        {"ignore_case": bool},
    ),
    "number_match": MetricDefinition(
        lambda answer, references, _options: text.number_match(answer, references), "proportion"
    ),
    "regex_match": MetricDefinition(_regex_match, "proportion", {"pattern": str}),
    "token_f1": MetricDefinition(
        lambda answer, references, _options: text.token_f1(answer, references), "mean"
    ),
    "rouge_l": MetricDefinition(
        lambda answer, references, _options: text.rouge_l(answer, references), "mean"
    ),
    "bleu": MetricDefinition(_sentence("bleu"), "corpus"),
    "chrf": MetricDefinition(_sentence("chrf"), "corpus"),
    "repetition": MetricDefinition(
        lambda answer, _references, options: text.repetition(answer, **options),
        "mean",
        {"n": int},
        needs_references=False,
        higher_is_better=False,
    ),
    "format_following": MetricDefinition(
        _format_following,
        "proportion",
        {"pattern": str, "max_words": int, "json": bool},
        needs_references=False,
    ),
    "refusal": MetricDefinition(
        lambda answer, _references, _options: safety.refusal(answer),
        "proportion",
        needs_references=False,
        higher_is_better=False,
    ),
    "toxicity_markers": MetricDefinition(
        lambda answer, _references, _options: safety.toxicity_markers(answer),
        "proportion",
        needs_references=False,
        higher_is_better=False,
    ),
}

_REQUIRED_OPTIONS = {"regex_match": "pattern"}


@dataclass(frozen=True, slots=True)
class TextMetric:
    """A metric with its options, as a task uses it."""

    name: str
    options: Mapping[str, Any]

    @property
    def definition(self) -> MetricDefinition:
        """What the metric is."""
        return METRICS[self.name]

    def measure(self, answer: str, references: Sequence[str]) -> float:
        """Value for one answer; nan if it can't be scored."""
        return self.definition.measure(answer, references, self.options)

    def estimate(
        self,
        values: Sequence[float],
        *,
        groups: Sequence[str] | None,
        texts: Sequence[str],
        references: Sequence[Sequence[str]],
    ) -> Estimate:
        """Sum up values over answers, all of length (n,); nan values are left out and counted."""
        from evalcore.stats.intervals import mean_estimate, proportion_estimate

        kind = self.definition.kind
        if kind == "corpus" and groups is None:
            scored = [place for place, value in enumerate(values) if not math.isnan(value)]
            return corpus_estimate(
                "bleu" if self.name == "bleu" else "chrf",
                [texts[place] for place in scored],
                [references[place] for place in scored],
                n_unscored=len(values) - len(scored),
            )
        if kind == "proportion":
            return proportion_estimate(values, groups=groups)
        estimate = mean_estimate(values, groups=groups, bounds=(0.0, 1.0))
        if kind == "corpus":  # answers in groups: a corpus value has no clustered interval here
            return replace(estimate, method=f"mean of sentence {self.name}; {estimate.method}")
        return estimate


def text_metric(entry: str | Mapping[str, Any], *, where: str) -> TextMetric:
    """Read a metric of a task file: a name, or a name with its options.

    Raises
    ------
    TaskError
        For an unknown name or option, a value of the wrong type, or a broken pattern.
    """
    if isinstance(entry, str):
        name, options = entry, {}
    else:
        ((name, given),) = entry.items()
        options = dict(given or {})
    if name not in METRICS:
        raise TaskError(f"{where}: metric must be one of {', '.join(METRICS)}; got {name!r}")
    for option, value in options.items():
        _check_option(name, option, value, where=where)
    required = _REQUIRED_OPTIONS.get(name)
    if required and required not in options:
        raise TaskError(f"{where}: metric {name} needs the option {required!r}")
    return TextMetric(name, options)


def _check_option(metric: str, option: str, value: object, *, where: str) -> None:
    permitted = METRICS[metric].options
    if option not in permitted:
        names = ", ".join(permitted) or "none"
        raise TaskError(f"{where}: metric {metric} takes the options {names}; got {option!r}")
    wanted = permitted[option]
    if type(value) is not wanted:
        kind = wanted.__name__
        raise TaskError(
            f"{where}: option {option!r} of metric {metric} must be {kind}; got {value!r}"
        )
    if option == "pattern":
        try:
            re.compile(str(value))
        except re.error as error:
            raise TaskError(f"{where}: pattern of metric {metric} is broken: {error}") from error
