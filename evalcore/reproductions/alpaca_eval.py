"""AlpacaEval 2 (Dubois et al. 2024): win rates of models against GPT-4 Turbo."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalcore.errors import InputError
from evalcore.exchange.json_files import read_json
from evalcore.reproductions.data import found_file, found_files
from evalcore.reproductions.pairs import MARGIN, percent
from evalcore.reproductions.records import Book, Finding, against, left_out, lost
from evalcore.stats.intervals import mean_estimate
from evalcore.stats.length_control import (
    LengthData,
    baseline_win_rate,
    length_controlled_win_rate,
)

__all__ = ["reproduce_alpaca_eval"]

_WHAT = "they are in AlpacaEval's repository under results and src/alpaca_eval/leaderboards"
_JUDGE = "weighted_alpaca_eval_gpt4_turbo"
_BASELINE = "gpt4_1106_preview"
_ALL = 805
_COUNTS = ("n_wins", "n_wins_base", "n_draws", "n_total")
_LENGTH_TOLERANCE = 0.2


def reproduce_alpaca_eval(data: Path) -> Book:
    """Compute the leaderboard's rows of the models that the folder has, and what it left out.

    Raises
    ------
    InputError
        If preferences or leaderboard are missing or are something else.
    """
    leaderboard = _leaderboard(data)
    rows = _preferences(data)
    models = {name: some for name, some in rows.groupby("model") if name in leaderboard.index}
    if not models:
        raise InputError(f"{data}: no model of the leaderboard has preferences")
    return Book(
        study="alpaca_eval",
        title=f"AlpacaEval 2: win rates against {_BASELINE}, judged by {_JUDGE}",
        source="AlpacaEval's repository, leaderboard of AlpacaEval 2; Dubois et al. (2024), "
        "arXiv 2404.04475",
        findings=(
            *_rates(models, leaderboard),
            *_counts(models, leaderboard),
            *_length_controlled(data, models, leaderboard),
            *_places(models),
            _parity(models),
        ),
        remarks=(
            "Each instruction has one verdict, in an order drawn by chance: intervals are for "
            "other instructions of this kind.",
            "The published standard error of the length-controlled rate is the spread of the "
            "fitted predictions, and no sampling error; our interval is one.",
        ),
    )


def _leaderboard(data: Path) -> pd.DataFrame:
    file = found_file(data, "leaderboard_ae2.csv", f"{_JUDGE}_leaderboard.csv", what=_WHAT)
    table = pd.read_csv(file, index_col=0)
    missing = {"win_rate", "standard_error", *_COUNTS} - set(table.columns)
    if missing:
        raise InputError(f"{file}: has no columns {', '.join(sorted(missing))}")
    return table


def _preferences(data: Path) -> pd.DataFrame:
    """Read the table of preferences, or the annotations of each model."""
    patterns = ("ae2_preferences.parquet", f"results/*/{_JUDGE}/annotations.json")
    files = found_files(data, patterns, what=_WHAT)
    if files[0].suffix == ".parquet":
        rows = pd.read_parquet(files[0])
    else:
        rows = pd.concat([_annotations(file) for file in files], ignore_index=True)
    stored = rows["preference"].to_numpy(np.float64)
    probabilities = np.where(stored == 0.0, 1.5, stored) - 1.0
    return rows.assign(
        win=np.where((probabilities < 0) | (probabilities > 1), np.nan, probabilities)
    )


def _annotations(file: Path) -> pd.DataFrame:
    items = read_json(file)
    return pd.DataFrame(
        {
            "model": [item["generator_2"] for item in items],
            "example": range(len(items)),
            "preference": [item["preference"] for item in items],
            "len_model": [len(item["output_2"]) for item in items],
            "len_baseline": [len(item["output_1"]) for item in items],
        }
    ).astype({"preference": float})


def _rates(models: Mapping[Any, pd.DataFrame], leaderboard: pd.DataFrame) -> Iterator[Finding]:
    order = sorted(models, key=lambda name: -leaderboard.loc[name, "win_rate"])
    for model in order:
        published = f"{leaderboard.loc[model, 'win_rate']:.2f}"
        rate = mean_estimate(models[model]["win"].to_numpy(), bounds=(0.0, 1.0))
        yield against("win rate, %", str(model), published, percent(rate))


def _counts(models: Mapping[Any, pd.DataFrame], leaderboard: pd.DataFrame) -> Iterator[Finding]:
    """Say of how many models every figure of the row is equal."""
    n_equal = {name: 0 for name in ("win_rate", "standard_error", *_COUNTS)}
    for model, rows in models.items():
        found = baseline_win_rate(rows["win"].dropna().to_numpy())
        row = leaderboard.loc[model]
        for name in ("win_rate", "standard_error"):
            n_equal[name] += bool(abs(100 * getattr(found, name) - row[name]) < 1e-6)
        for name in _COUNTS:
            n_equal[name] += bool(getattr(found, name) == row[name])
    for name, count in n_equal.items():
        yield Finding(
            table="rows of the leaderboard",
            quantity=f"models whose {name} is equal",
            published=f"{len(models)}",
            computed=f"{count}",
            outcome="exact" if count == len(models) else "differs",
        )


def _length_controlled(
    data: Path, models: Mapping[Any, pd.DataFrame], leaderboard: pd.DataFrame
) -> Iterator[Finding]:
    table = "length-controlled win rate, %"
    try:
        difficulty, regularisation = _difficulties(data)
    except InputError as error:
        yield lost(table, "all models", "see leaderboard", note=str(error))
        return
    for model in sorted(models, key=lambda name: -leaderboard.loc[name, "win_rate"]):
        published = float(leaderboard.loc[model, "length_controlled_winrate"])
        rows = models[model].sort_values("example")
        if model == _BASELINE or math.isnan(published):
            continue
        if len(rows) < _ALL:
            note = f"{len(rows)} of {_ALL} instructions have a preference"
            yield lost(table, str(model), f"{published:.2f}", note=note)
            continue
        data_ = LengthData.from_lengths(
            rows["win"].to_numpy(),
            rows["len_model"].to_numpy(),
            rows["len_baseline"].to_numpy(),
            difficulty=difficulty.loc[rows["example"]].to_numpy(),
        )
        fit = length_controlled_win_rate(data_, regularisation=regularisation)
        yield against(
            table,
            str(model),
            f"{published:.2f}",
            percent(fit.estimate),
            tolerance=_LENGTH_TOLERANCE,
        )


def _difficulties(data: Path) -> tuple[pd.Series[Any], LengthData]:
    """Read how hard instructions are, and the rows that regularise the fit."""
    what = "the originals are on a model hub only; ours are inverted from published predictions"
    hard = pd.read_csv(found_file(data, "instruction_difficulty_recovered.csv", what=what))
    difficulty = hard.set_index("example")["instruction_difficulty"]
    gamed = pd.read_csv(found_file(data, "gamed_baseline_expected_preferences.csv.gz", what=what))
    return difficulty, LengthData(
        preferences=gamed["pref_expected_from_weights"].to_numpy(),
        tanh_length=gamed["tanh_std_delta_len"].to_numpy(),
        difficulty=difficulty.loc[gamed["example"]].to_numpy(),
        weight=0.1,
    )


def _places(models: Mapping[Any, pd.DataFrame]) -> Iterator[Finding]:
    """Compare win rates by place, where the order is known: models other than the baseline."""
    rows = pd.concat([some for name, some in models.items() if name != _BASELINE])
    if "order_swapped" not in rows:
        return
    known = rows.dropna(subset=["order_swapped", "win"])
    swapped = known["order_swapped"].astype(bool).to_numpy()
    second: NDArray[np.bool_] = ~swapped
    for place, mask in (("second", second), ("first", ~second)):
        some = known[mask]
        rate = mean_estimate(
            some["win"].to_numpy(), groups=some["example"].to_numpy(), bounds=(0.0, 1.0)
        )
        yield left_out(
            "order of the answers", f"win rate of models shown {place}, %", percent(rate)
        )


def _parity(models: Mapping[Any, pd.DataFrame]) -> Finding:
    """Test parity with the baseline: whether a 90 % interval lies within ±5 points of one half.

    Preferences are shares, not winners, so that the two one-sided tests are those of a mean.
    """
    others = {name: rows for name, rows in models.items() if name != _BASELINE}
    equal = []
    for name, rows in others.items():
        rate = mean_estimate(rows["win"].to_numpy(), bounds=(0.0, 1.0), level=0.9)
        if rate.low > 0.5 - MARGIN and rate.high < 0.5 + MARGIN:
            equal.append(str(name))
    return left_out(
        "parity with the baseline",
        f"models within ±{100 * MARGIN:g} points, two one-sided tests at 5 %",
        ", ".join(equal) or f"none of {len(others)}",
    )
