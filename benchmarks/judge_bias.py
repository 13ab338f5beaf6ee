"""How often a report's intervals hold a simulated judge's known biases.

Each study has a judge with a bias for the first place, for length and for its own answers, and
people who vote by quality alone; better answers are longer. Run it with

    python benchmarks/judge_bias.py [--runs 1000]

It prints a table and, as its last line, JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np

from evalcore.judges.bias.pairs import JudgedPairs
from evalcore.judges.bias.position import position_bias
from evalcore.judges.bias.self_preference import self_preference
from evalcore.judges.bias.simulation import SimulatedJudge, SimulatedStudy, simulate
from evalcore.judges.bias.style import style_effects
from evalcore.records import Estimate
from evalcore.stats.intervals import wilson_interval

JUDGES = {
    "for the first place": SimulatedJudge(position=0.06, length=0.04, self_preference=0.05),
    "for the second place": SimulatedJudge(position=-0.1, length=0.02, self_preference=0.1),
    "strong": SimulatedJudge(position=0.15, length=0.06, self_preference=-0.05, ties=0.0),
    "unbiased": SimulatedJudge(),
}
STUDIES = {
    "60 prompts, both orders": SimulatedStudy(n_examples=60),
    "200 prompts, both orders": SimulatedStudy(n_examples=200),
    "200 prompts, random order": SimulatedStudy(n_examples=200, both_orders=False),
    "60 prompts, 3 votes each": SimulatedStudy(n_examples=60, votes=3),
}


def found_and_true(
    pairs: JudgedPairs, own: tuple[str, ...], judge: SimulatedJudge
) -> Iterator[tuple[str, Estimate, float]]:
    """Yield each bias by name, as estimated and as it is."""
    yield "position", position_bias(pairs), judge.position
    beyond = style_effects(pairs)[0].beyond_humans
    if beyond is not None:
        yield "length", beyond, judge.length
    favour = self_preference(pairs, own)
    if favour is not None and favour.at_equal_style is not None:
        yield "self-preference", favour.at_equal_style, judge.self_preference


def coverage(
    judge: SimulatedJudge, study: SimulatedStudy, n_runs: int, rng: np.random.Generator
) -> dict[str, tuple[int, float]]:
    """Return by bias how many of the intervals hold it, and their mean width."""
    hits: dict[str, int] = {}
    widths: dict[str, float] = {}
    for _ in range(n_runs):
        pairs, own = simulate(judge, study, rng)
        for name, estimate, truth in found_and_true(pairs, own, judge):
            hits[name] = hits.get(name, 0) + (estimate.low <= truth <= estimate.high)
            widths[name] = widths.get(name, 0.0) + (estimate.high - estimate.low) / n_runs
    return {name: (hits[name], widths[name]) for name in hits}


def main() -> None:
    """Run all studies and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="studies of each kind")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, start, rows = np.random.default_rng(given.seed), time.perf_counter(), []
    print(f"{'judge':<22}{'study':<28}{'bias':<17}{'held':>8}{'95 % interval':>20}{'width':>8}")
    for judge_name, judge in JUDGES.items():
        for study_name, study in STUDIES.items():
            for bias, (hits, width) in coverage(judge, study, given.runs, rng).items():
                low, high = wilson_interval(hits, given.runs)
                share = hits / given.runs
                interval = f"{100 * low:.1f} to {100 * high:.1f}"
                print(f"{judge_name:<22}{study_name:<28}{bias:<17}", end="")
                print(f"{100 * share:>6.1f} %{interval:>20}{width:>8.3f}")
                names = {"judge": judge_name, "study": study_name, "bias": bias}
                rows.append({**names, "held": share, "mean_width": width})
    print(
        json.dumps(
            {
                "runs": given.runs,
                "least_held": min(row["held"] for row in rows),
                "seconds": round(time.perf_counter() - start, 1),
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
