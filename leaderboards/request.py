"""What a leaderboard was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from evalcore.rater_kinds import REAL_KINDS
from evalcore.records import ModelSpec, RaterKind
from evalcore.stats.parity import check_test_settings

__all__ = ["BoardRequest", "By", "Filters"]

By = Literal["score", "human", "judge", "rule", "simulated"]
"""What the rank rests on: automated scores, or comparisons by raters of a kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which models, by what is known of them. What is not known is not let through."""

    licences: tuple[str, ...] = ()
    """Licences permitted; any if empty. Upper and lower case are the same."""
    open_stack: bool = False
    """Only models whose weights, data and code are all open."""
    least_parameters: float | None = None
    most_parameters: float | None = None
    quantizations: tuple[str, ...] = ()
    """Such as ``nf4``; ``none`` for models that are not quantised. Any if empty."""

    def admits(self, spec: ModelSpec) -> bool:
        """Tell whether a model is let through."""
        if self.licences and (spec.licence or "").lower() not in self.licences:
            return False
        if self.open_stack and not (spec.openness is not None and spec.openness.is_full_stack):
            return False
        if self.quantizations and (spec.quantization or "none") not in self.quantizations:
            return False
        if self.least_parameters is None and self.most_parameters is None:
            return True
        if spec.n_parameters is None:
            return False
        least, most = self.least_parameters or 0.0, self.most_parameters or float("inf")
        return least <= spec.n_parameters <= most

    def words(self) -> tuple[str, ...]:
        """Say each filter in a few words."""
        said = []
        if self.licences:
            said.append(f"licence {' or '.join(self.licences)}")
        if self.open_stack:
            said.append("weights, data and code open")
        if self.least_parameters is not None:
            said.append(f"at least {self.least_parameters:,.0f} parameters")
        if self.most_parameters is not None:
            said.append(f"at most {self.most_parameters:,.0f} parameters")
        if self.quantizations:
            said.append(f"quantisation {' or '.join(self.quantizations)}")
        return tuple(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRequest:
    """Which models and tasks, ranked by what, and compared with whom."""

    tasks: tuple[str, ...] | None = None
    """Names of tasks; all if None."""
    models: tuple[str, ...] | None = None
    """Names of models, or the first digits of their fingerprints; all if None."""
    by: By | None = None
    """What ranks; if None, the first that there is of scores, people's votes, judges' verdicts."""
    kinds: tuple[RaterKind, ...] = REAL_KINDS
    """Whose comparisons are shown."""
    category: str | None = None
    """Of examples: scores and comparisons of others are left out."""
    reference: str | None = None
    """Name of the model that all others are compared with."""
    margin: float = 0.05
    """Half-width of parity with the reference, in (0, 0.5)."""
    level: float = 0.95
    """Of intervals; 1 minus it is the level of tests."""
    filters: Filters = field(default_factory=Filters)
    common: bool = False
    """Only comparisons on examples that raters of every kind shown have compared."""
    under_way: bool = False
    """Count people's votes in studies that are under way, too. Who still votes must not see what
    others said: by default they are left out until the study is locked."""

    def __post_init__(self) -> None:
        """Check what came from a command line."""
        check_test_settings(self.margin, 1.0 - self.level)
