"""The runs of one version of a task, of which most are only looked at by their heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from evalcore.records import Efficiency, Estimate, EvalRun, ModelSpec
from evalcore.store.runs import RunHead

__all__ = ["Metrics", "Result", "TaskRuns"]


class TaskRuns(Mapping[str, EvalRun]):
    """Runs by fingerprint, each made when somebody asks for it.

    Parameters
    ----------
    heads
        By fingerprint; all of one task hash.
    """

    __slots__ = ("heads",)

    def __init__(self, heads: Mapping[str, RunHead]) -> None:
        self.heads = heads

    @property
    def first(self) -> RunHead:
        """One of them; runs of one version of a task share its settings."""
        return next(iter(self.heads.values()))

    def __getitem__(self, fingerprint: str) -> EvalRun:
        """Return a model's run."""
        return self.heads[fingerprint].run

    def __contains__(self, fingerprint: object) -> bool:
        """Tell whether a model was run on the task."""
        return fingerprint in self.heads

    def __iter__(self) -> Iterator[str]:
        """Iterate over fingerprints."""
        return iter(self.heads)

    def __len__(self) -> int:
        """Count the runs."""
        return len(self.heads)


class Metrics(Mapping[str, Estimate]):
    """A model's estimates by ``task/metric``, of which most are never looked at.

    Parameters
    ----------
    heads
        The model's runs by task.
    """

    __slots__ = ("_all", "_heads", "_primary")

    def __init__(self, heads: Mapping[str, RunHead]) -> None:
        self._heads = heads
        self._primary: dict[str, RunHead] | None = None
        self._all: dict[str, Estimate] | None = None

    def __getitem__(self, key: str) -> Estimate:
        """Return an estimate; only that of a primary metric is at hand."""
        if self._primary is None:
            self._primary = {f"{task}/{head.metric}": head for task, head in self._heads.items()}
        if (head := self._primary.get(key)) is not None:
            return head.estimate
        return self._whole()[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of all of them."""
        return iter(self._whole())

    def __len__(self) -> int:
        """Count all of them."""
        return len(self._whole())

    def __repr__(self) -> str:
        """Show what a plain mapping would."""
        return repr(dict(self))

    def _whole(self) -> dict[str, Estimate]:
        if self._all is None:
            self._all = {
                f"{task}/{metric}": estimate
                for task, head in self._heads.items()
                for metric, estimate in head.run.estimates.items()
            }
        return self._all


class Result(NamedTuple):
    """What a model did on all tasks of a leaderboard."""

    model: ModelSpec
    metrics: Metrics
    efficiency: Efficiency
    """Summed over tasks."""
