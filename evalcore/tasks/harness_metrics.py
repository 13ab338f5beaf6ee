"""The harness's aggregations, each with an interval."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from evalcore.protocols import Measurement
from evalcore.records import Estimate

__all__ = ["Aggregation", "aggregation"]

_N_RESAMPLES = 200
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How the harness puts a metric's values together."""

    form: Literal["mean", "perplexity", "weighted_perplexity", "bits_per_byte", "together"]
    """``together`` for all that is no function of a mean, such as an F1 score."""
    function: Callable[[Sequence[Any]], float]
    """The harness's own."""

    @property
    def is_separable(self) -> bool:
        """Whether the result is a function of a mean of single measurements."""
        return self.form != "together"

    def measure(self, value: Any) -> Measurement:
        """Turn the harness's value for one example into a measurement.

        Perplexities are nats per unit, weighted by units; ``bits_per_byte`` bits likewise. What is
        no function of a mean gives what the aggregation makes of this value alone.
        """
        match self.form:
            case "mean":
                return Measurement(float(value))
            case "perplexity":
                return Measurement(-float(value))
            case "together":
                return Measurement(float(self.function([value])))
        logprob, units = float(value[0]), float(value[1])
        nats = math.log(2) if self.form == "bits_per_byte" else 1.0
        return Measurement(-logprob / nats / units if units else math.nan, weight=units)

    def estimate(self, measurements: Sequence[Measurement]) -> Estimate:
        """Sum up single measurements, if :attr:`is_separable`.

        Marks of 0 and 1 are a share with Wilson's interval, others a mean; of perplexities, value
        and ends are exponentials of those of the mean.
        """
        from evalcore.stats.intervals import mean_estimate, proportion_estimate

        values = [measurement.value for measurement in measurements]
        if self.form == "mean":
            is_share = all(value in (0.0, 1.0) or math.isnan(value) for value in values)
            return proportion_estimate(values) if is_share else mean_estimate(values)
        weights = [measurement.weight for measurement in measurements]
        found = mean_estimate(values, weights=None if self.form == "perplexity" else weights)
        if self.form == "bits_per_byte":
            return found
        return replace(
            found,
            value=_exp(found.value),
            low=_exp(found.low),
            high=_exp(found.high),
            method=f"exponential of {found.method}",
        )

    def estimate_together(self, values: Sequence[Any], *, n_unscored: int) -> Estimate:
        """Sum up the harness's own values, with the percentile bootstrap over examples.

        For n = 0 all is nan; for n = 1 the spread is unknown and the interval infinite.
        """
        n = len(values)
        low, high = (math.nan, math.nan) if n == 0 else (-math.inf, math.inf)
        if n > 1:
            rng = np.random.default_rng(0)
            drawn = [
                float(self.function([values[at] for at in rng.integers(n, size=n)]))
                for _ in range(_N_RESAMPLES)
            ]
            low, high = (
                float(end) for end in np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
            )
        return Estimate(
            value=float(self.function(values)) if n else math.nan,
            low=low,
            high=high,
            confidence_level=_LEVEL,
            method=f"percentile bootstrap over examples, {_N_RESAMPLES} resamples",
            n=n,
            n_unscored=n_unscored,
        )


def aggregation(function: Callable[[Sequence[Any]], float] | None) -> Aggregation:
    """Recognise one of the harness's aggregations; without one it takes the mean."""
    known = importlib.import_module("lm_eval.api.metrics")
    if function is None or function in (known.mean, known.nanmean):
        return Aggregation("mean", known.mean)
    if function is known.perplexity:
        return Aggregation("perplexity", function)
    if function is known.weighted_perplexity:
        return Aggregation("weighted_perplexity", function)
    if function is known.bits_per_byte:
        return Aggregation("bits_per_byte", function)
    return Aggregation("together", function)


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
