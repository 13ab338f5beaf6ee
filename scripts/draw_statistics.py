"""Draw the pictures of docs/statistics-in-pictures.md, each from a simulation with a fixed seed.

    .venv/bin/python scripts/draw_statistics.py [FOLDER]

Prints the numbers that the page quotes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from evalcore.stats.intervals import wilson_interval
from evalcore.stats.parity import parity_test
from evalcore.stats.planning import VoteModel, votes_needed
from evalcore.stats.ratings import rate_votes
from evalcore.stats.sequential import asymptotic_sequence
from evalcore.stats.win_rate import PairVotes, win_rate
from evalcore.votes import Votes

mpl.use("svg")
from matplotlib import pyplot as plt

TEAL: Final = "#00796b"
ORANGE: Final = "#d9480f"
GREY: Final = "#7a7a7a"
MARGIN: Final = 0.05
FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "images"

mpl.rcParams.update(
    {
        "svg.hashsalt": "parity",
        "svg.fonttype": "none",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)


def verdicts(axes: Any) -> str:
    """Draw win rates with their intervals beside a margin, one for each verdict."""
    studies = [
        ("80 votes, as many as Vicuna had questions", 41, 39),
        ("400 votes", 230, 170),
        ("2,000 votes", 1010, 990),
        ("7,042 votes, as Open Assistant is said to have had", 3401, 3641),
    ]
    axes.axvspan(0.5 - MARGIN, 0.5 + MARGIN, color=TEAL, alpha=0.12)
    axes.axvline(0.5, color=GREY, linewidth=0.8)
    told = []
    for height, (name, wins, losses) in enumerate(reversed(studies)):
        result = win_rate(PairVotes(scores=np.repeat([1.0, 0.0], [wins, losses])))
        words = parity_test(result, margin=MARGIN).words
        found = result.estimate
        axes.plot([found.low, found.high], [height, height], color=TEAL, linewidth=2)
        axes.plot(found.value, height, "o", color=TEAL)
        axes.text(0.36, height + 0.18, f"{name}: {words}", fontsize=9)
        told.append(f"{name}: {found.value:.3f} ({found.low:.3f} to {found.high:.3f}), {words}")
    axes.set(xlim=(0.36, 0.66), ylim=(-0.4, 3.6), yticks=[], xlabel="win rate of A against B")
    axes.spines["left"].set_visible(False)
    return "\n".join(reversed(told))


def clusters(axes: Any) -> str:
    """Draw intervals of simulated studies of one truth, with and without clustering."""
    rng = np.random.default_rng(1)
    held = np.zeros((400, 2), dtype=bool)
    for study in range(len(held)):
        scores, prompts, raters = _study(rng, n_prompts=60, n_per_prompt=10)
        pair = PairVotes(scores=scores, raters=raters, examples=prompts)
        honest = win_rate(pair).estimate
        naive = wilson_interval(scores.sum(), len(scores))
        ends = [(honest.low, honest.high), naive]
        held[study] = [low <= 0.5 <= high for low, high in ends]
        if study < 40:
            for (low, high), shift, colour in zip(ends, (0, 50), (TEAL, ORANGE), strict=True):
                missed = not low <= 0.5 <= high
                axes.plot(
                    [study + shift] * 2, [low, high], color=colour, linewidth=2.6 if missed else 1
                )
    axes.axhline(0.5, color=GREY, linewidth=0.8)
    shares = held.mean(axis=0)
    axes.set(
        xticks=[20, 70],
        xticklabels=[
            f"clustered by prompt and rater\n{shares[0]:.0%} hold the truth",
            f"votes taken as independent\n{shares[1]:.0%} hold the truth",
        ],
        ylabel="win rate",
    )
    axes.tick_params(axis="x", length=0)
    return f"held by {shares[0]:.3f} clustered, {shares[1]:.3f} independent of {len(held)} studies"


def _study(
    rng: np.random.Generator, *, n_prompts: int, n_per_prompt: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Simulate votes whose odds vary by prompt and rater, around a true win rate of one half."""
    prompts = np.repeat(np.arange(n_prompts), n_per_prompt)
    raters = rng.integers(0, 40, len(prompts))
    lean = rng.normal(0, 1.4, n_prompts)[prompts] + rng.normal(0, 0.5, 40)[raters]
    return (rng.random(len(prompts)) < 1 / (1 + np.exp(-lean))).astype(float), prompts, raters


def ranks(axes: Any) -> str:
    """Draw ratings with their intervals, and which ranks they leave open."""
    rng = np.random.default_rng(3)
    names = [f"model {letter}" for letter in "ABCDEFGH"]
    strength = np.array([1180, 1150, 1146, 1100, 1040, 1032, 990, 900])
    first, second = rng.integers(0, 8, (2, 2400))
    first, second = first[first != second], second[first != second]
    chance = 1 / (1 + 10 ** ((strength[second] - strength[first]) / 400))
    won = rng.random(len(first)) < chance
    votes = Votes.from_columns(
        {
            "model_a": [names[place] for place in first],
            "model_b": [names[place] for place in second],
            "winner": np.where(won, "model_a", "model_b").tolist(),
        }
    )
    rated = rate_votes(votes)
    interval, rank = rated.confidence_interval(), rated.rank_interval()
    order = np.argsort(rated.ratings)
    for height, place in enumerate(order):
        axes.plot([interval.low[place], interval.high[place]], [height] * 2, color=TEAL, lw=2)
        axes.plot(rated.ratings[place], height, "o", color=TEAL)
        low, high = rank.low[place], rank.high[place]
        span = f"rank {low}" if low == high else f"rank {low} to {high}"
        axes.text(1.02, height, span, transform=axes.get_yaxis_transform(), va="center")
    axes.set(yticks=range(8), yticklabels=[rated.models[place] for place in order])
    axes.set(xlabel="rating (400 points: odds of 10 to 1)")
    return f"{len(first)} votes; A against B: {rated.difference('model A', 'model B')}"


def peeking(axes: Any) -> str:
    """Draw how often equal models look different to whoever looks again and again."""
    rng = np.random.default_rng(5)
    n_studies, n_votes = 1000, 2000
    scores = (rng.random((n_studies, n_votes)) < 0.5).astype(float)
    t = np.arange(1, n_votes + 1)
    mean = np.cumsum(scores, axis=1) / t
    fixed = np.abs(mean - 0.5) > 1.959964 * np.sqrt(0.25 / t)
    fixed[:, :30] = False
    running = np.empty_like(fixed)
    for study, row in enumerate(scores):
        sequence = asymptotic_sequence(row)
        running[study] = (sequence.low > 0.5) | (sequence.high < 0.5)
    alarms = [np.logical_or.accumulate(some, axis=1).mean(axis=0) for some in (fixed, running)]
    labels = ["a test made for one look, after every vote", "a sequence made to be looked at"]
    for line, label, colour in zip(alarms, labels, (ORANGE, TEAL), strict=True):
        axes.plot(t, line, color=colour)
        axes.text(n_votes, line[-1] + 0.012, label, ha="right", fontsize=9, color=colour)
    axes.axhline(0.05, color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlabel="votes so far", ylabel="share with a false alarm", ylim=(0, None))
    return f"false alarms after {n_votes} votes: {alarms[0][-1]:.3f} and {alarms[1][-1]:.3f}"


def planning(axes: Any) -> str:
    """Draw the votes that it takes to show parity, by margin."""
    margins = np.linspace(0.015, 0.15, 28)
    told = []
    for rate, colour in ((0.5, TEAL), (0.49, ORANGE)):
        votes = VoteModel(win_rate=rate, prompt_share=0.0, rater_share=0.0)
        needed = [votes_needed(votes, margin=float(margin)) or np.nan for margin in margins]
        axes.plot(margins * 100, needed, color=colour)
        label = f"true win rate {rate:.0%}"
        axes.text(2.1, needed[2] * (1.5 if rate < 0.5 else 0.4), label, color=colour)
        told.append(f"{rate}: ±5 {votes_needed(votes)}, ±2 {votes_needed(votes, margin=0.02)}")
    for n, name in ((80, "80, Vicuna's questions"), (180, "180, Koala's prompts")):
        axes.axhline(n, color=GREY, linewidth=0.8, linestyle=":")
        axes.text(1.5, n * 1.08, name, fontsize=9, color=GREY)
    axes.set(yscale="log", xlabel="margin, points of win rate", ylabel="votes for a power of 80 %")
    return "; ".join(told)


PICTURES: Final[dict[str, tuple[Callable[[Any], str], tuple[float, float]]]] = {
    "verdicts": (verdicts, (7.0, 3.0)),
    "clusters": (clusters, (7.0, 3.2)),
    "ranks": (ranks, (6.4, 3.4)),
    "peeking": (peeking, (7.0, 3.2)),
    "planning": (planning, (7.0, 3.6)),
}


def main() -> None:
    """Draw all pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, (draw, size) in PICTURES.items():
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        print(f"{name}: {draw(axes)}")
        figure.savefig(folder / f"statistics-{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
