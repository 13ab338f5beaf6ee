"""Judges that are rules: a metric decides, where the right answer is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from evalcore.errors import InputError, TaskError
from evalcore.hashing import content_hash
from evalcore.judges.merging import winner_of
from evalcore.judges.planning import Plan, Unit
from evalcore.judges.records import Answer, Judge, Verdict
from evalcore.judges.rendering import references_of
from evalcore.metrics import METRICS, TextMetric, text_metric
from evalcore.records import Winner, utc_now

__all__ = ["PREFIX", "Rule", "parse_rule"]

PREFIX: Final = "rule:"
_LONGEST = "longest"


@dataclass(frozen=True, slots=True)
class Rule:
    """Prefers the answer with the better value of a metric, or the longer one."""

    judge: Judge
    metric: TextMetric | None
    """None prefers the longer answer: what a judge that only looks at length would say."""

    def check(self, plan: Plan) -> None:
        """Refuse what the rule can't judge.

        Raises
        ------
        InputError
            For single answers and rankings, and for an example without a reference that the metric
            needs.
        """
        if plan.kind != "pairwise":
            raise InputError(
                f"judge {self.judge.name!r} compares pairs; for single answers, parity eval has "
                "the same metrics"
            )
        if self.metric is None or not self.metric.definition.needs_references:
            return
        for example in plan.examples:
            for turn in range(1, 2 + len(example.follow_ups)):
                if references_of(example, turn) is None:
                    raise InputError(
                        f"judge {self.judge.name!r} needs references; prompt "
                        f"{example.metadata.get('id', example.id)!r} has none (turn {turn})"
                    )

    def verdict(self, unit: Unit) -> Verdict:
        """Compare a pair; where both answers are wrong by a metric of right and wrong, both lose.

        A value that can't be scored leaves the pair unscored.
        """
        a, b = unit.answers
        first, second = (self._value(unit, answer) for answer in (a, b))
        value = 0.5 if first == second else float(first > second)
        value = math.nan if math.isnan(first + second) else value
        return Verdict(
            id=content_hash([self.judge.fingerprint, unit.key]),
            rater=self.judge.name,
            rater_kind="rule",
            fingerprint=self.judge.fingerprint,
            request_key="",
            form="rule",
            prompt_version=self.judge.name,
            example_id=unit.example.id,
            turn=unit.turn,
            model_a=a.fingerprint,
            model_b=b.fingerprint,
            answer_a=a.request_key,
            answer_b=b.request_key,
            winner=self._winner(first, second, value),
            value=value,
            label=f"{first:g} {second:g}",
            parts={"model_a": first, "model_b": second},
            created_utc=utc_now(),
        )

    def _winner(self, first: float, second: float, value: float) -> Winner | None:
        is_right_or_wrong = self.metric is not None and self.metric.definition.kind == "proportion"
        good = self.metric is not None and self.metric.definition.higher_is_better
        if is_right_or_wrong and good and first == second == 0.0:
            return "both_bad"
        return winner_of(value)

    def _value(self, unit: Unit, answer: Answer) -> float:
        """Return how good an answer is; more is better."""
        text = answer.texts[-1]
        if self.metric is None:
            return float(len(text))
        example = unit.example
        references = example.references
        if example.follow_ups:
            references = references[unit.turn - 1 : unit.turn]
        value = self.metric.measure(text, references)
        return value if self.metric.definition.higher_is_better else -value


def parse_rule(text: str) -> Rule:
    """Read a rule such as ``rule:exact_match?ignore_case=true`` or ``rule:longest``.

    Raises
    ------
    InputError
        For an unknown metric or option, and a value that doesn't fit.
    """
    name, _, query = text.removeprefix(PREFIX).partition("?")
    judge = Judge(name=text)
    if name == _LONGEST:
        return Rule(judge, None)
    if name not in METRICS:
        permitted = ", ".join([*METRICS, _LONGEST])
        raise InputError(f"rule must be one of {permitted}; got {name!r}")
    try:
        return Rule(judge, text_metric({name: _options(name, query)}, where=text))
    except TaskError as error:
        raise InputError(str(error)) from error


def _options(metric: str, query: str) -> Mapping[str, Any]:
    """Read options as a query string has them, each as the type that the metric wants."""
    types = METRICS[metric].options
    return {
        key: _typed(value, types.get(key, str))
        for key, value in parse_qsl(query, keep_blank_values=True)
    }


def _typed(value: str, wanted: type) -> object:
    if wanted is bool and value in ("true", "false"):
        return value == "true"
    if wanted is int and value.isdigit():
        return int(value)
    return value
