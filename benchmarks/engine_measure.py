"""Two ways of doing the same work, measured in turns, and how far the faster one is from the limit.

A machine's speed changes with what else runs on it and how warm it is. So both sides run in turns,
several times; the ratio is taken within each pair and the median of
the pairs is reported, with the machine's rate for matrix products measured between them.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

__all__ = ["Contest", "Outcome", "Setup", "compare", "matmul_peak", "report", "timed"]

Side = Callable[[], tuple[float, Any]]
"""Does the work once; returns the seconds that it took, and its results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How everything is measured."""

    n_pairs: int
    clock: str
    """``cpu`` counts the process's seconds on a core, which a busy machine disturbs less."""
    device: str
    n_threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Work that two sides do."""

    name: str
    ours: Side
    theirs: Mapping[str, Side]
    """By setting, such as a batch size; the fastest in a trial is what ours is compared with."""
    trials: Mapping[str, Side]
    """Each setting on a small part of the work; empty if there is one setting only."""
    differences: Callable[[Any, Any], str]
    """Told both results, returns what is wrong with them, or nothing."""
    flops: float
    """What a machine has to compute at least."""
    least_ratio: float
    least_fraction: float | None
    """Of the physical limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A contest's figures."""

    name: str
    setting: str
    ours_s: list[float]
    theirs_s: list[float]
    peak_gflops: float
    gflop: float
    least_ratio: float
    least_fraction: float | None
    differences: str

    @property
    def ratio(self) -> float:
        """Median over pairs."""
        pairs = zip(self.theirs_s, self.ours_s, strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    @property
    def fraction(self) -> float:
        """Of the physical limit."""
        return self.gflop / self.peak_gflops / statistics.median(self.ours_s)

    @property
    def passes(self) -> bool:
        """Whether it is as fast as it has to be, and right."""
        is_near = self.least_fraction is None or self.fraction >= self.least_fraction
        return self.ratio >= self.least_ratio and is_near and not self.differences


def compare(contest: Contest, setup: Setup) -> Outcome:
    """Measure both sides in turns."""
    times = {name: run()[0] for name, run in contest.trials.items()}
    setting = min(times, key=times.__getitem__) if times else next(iter(contest.theirs))
    print(f"{contest.name}: against {setting}; trials {_rounded(times)}", file=sys.stderr)
    ours_s: list[float] = []
    theirs_s: list[float] = []
    differences: list[str] = []
    peaks = [matmul_peak(setup)]
    for pair in range(setup.n_pairs):
        sides = [(contest.ours, ours_s), (contest.theirs[setting], theirs_s)]
        results = {}
        for at in (0, 1) if pair % 2 == 0 else (1, 0):
            run, seconds = sides[at]
            taken, results[at] = run()
            seconds.append(taken)
        peaks.append(matmul_peak(setup))
        differences.append(contest.differences(results[0], results[1]))
        print(f"  pair {pair + 1}: {theirs_s[-1] / ours_s[-1]:.2f}", file=sys.stderr)
    return Outcome(
        name=contest.name,
        setting=setting,
        ours_s=ours_s,
        theirs_s=theirs_s,
        peak_gflops=max(peaks) / 1e9,
        gflop=contest.flops / 1e9,
        least_ratio=contest.least_ratio,
        least_fraction=contest.least_fraction,
        differences=next(filter(None, differences), ""),
    )


def matmul_peak(setup: Setup) -> float:
    """Return the floating-point operations per second of the best of some float32 products."""
    n = 1024 if setup.device == "cpu" else 8192
    a, b = torch.randn(n, n, device=setup.device), torch.randn(n, n, device=setup.device)
    return max(2 * n**3 / timed(lambda: a @ b, setup)[0] for _ in range(10))


def report(outcomes: list[Outcome], setup: Setup) -> dict[str, Any]:
    """Print a table and return the same as JSON."""
    print(f"{setup.n_pairs} pairs, {setup.n_threads} threads, {setup.device}, {setup.clock} time")
    print(
        f"{'work':40} {'against':12} {'ratio':>6} {'aim':>6} {'limit':>6} {'aim':>5} {'GF/s':>5}"
        "  verdict"
    )
    for o in outcomes:
        verdict = o.differences or ("reached" if o.passes else "missed")
        least = "" if o.least_fraction is None else f"{o.least_fraction:.0%}"
        print(
            f"{o.name:40} {o.setting:12} {o.ratio:6.2f} {o.least_ratio:6.2f} {o.fraction:6.0%} "
            f"{least:>5} {o.peak_gflops:5.0f}  {verdict}"
        )
    rows = [
        asdict(o) | {"ratio": o.ratio, "fraction": o.fraction, "passes": o.passes} for o in outcomes
    ]
    return {"setup": asdict(setup), "outcomes": rows}


def timed(run: Callable[[], Any], setup: Setup) -> tuple[float, Any]:
    """Return the seconds that something took, and its result."""
    gc.collect()
    clock = time.process_time if setup.clock == "cpu" else time.perf_counter
    start = clock()
    result = run()
    if setup.device != "cpu":
        torch.cuda.synchronize()
    return clock() - start, result


def _rounded(times: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items()) or "none"
