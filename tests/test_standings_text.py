import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from evalcore.records import Adapter, Estimate, ModelSpec
from evalcore.store import Store, open_store
from leaderboards.markdown import leaderboard_markdown
from leaderboards.rounding import decimals, number, p_value, signed, with_interval
from leaderboards.standings import standings
from leaderboards.table import render
from leaderboards.variants import model_string
from leaderboards.words import listed, summary

GOOD = [1.0] * 70 + [0.0] * 30
NEAR = [0.0, *GOOD[1:]]
POOR = [1.0] * 10 + [0.0] * 90


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "out") as store:
        yield store


def model(name: str) -> ModelSpec:
    return ModelSpec(name=name, backend="fake", weights=name)


def estimate(value: float, half: float) -> Estimate:
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        confidence_level=0.95,
        method="",
        n=9,
    )


def printed(board, width: int) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(render(board))
    return capture.get()


@pytest.mark.parametrize(
    ("standard_error", "places"),
    [(0.0119, 3), (0.0367, 2), (0.096, 2), (0.00099, 4), (4.1, 0), (120.0, 0), (1.2, 1)],
)
def test_decimals_follow_the_particle_data_groups_rule(standard_error, places):
    assert decimals([estimate(0.5, 1.95996 * standard_error)]) == places


@pytest.mark.parametrize(("value", "places"), [(0.7, 3), (-45.0, 1), (1012.4, 0)])
def test_decimals_without_a_standard_error_follow_the_size(value, places):
    assert decimals([estimate(value, math.nan)]) == places


def test_long_name_is_folded_not_cut(store, add_results):
    name = "a-name-of-many-letters-without-a-blank-that-fills-the-whole-line-of-a-terminal-twice"
    add_results(store, model(name), "sums", GOOD)
    text = "".join(printed(standings(store), 80).split())
    assert "…" not in text
    assert text.count(name[-6:]) == 2  # in the summary, and in its row


def test_decimals_without_a_standard_error_are_three():
    assert decimals([]) == decimals([estimate(1.0, 0.0), estimate(1.0, math.inf)]) == 3


def test_numbers_are_written_with_real_minus_signs_and_dashes_for_nothing():
    assert [number(x, 1) for x in (-0.25, math.nan, math.inf)] == ["−0.2", "–", "∞"]
    assert [signed(x, 1) for x in (0.31, -0.31, -0.01, math.nan)] == ["+0.3", "−0.3", "0.0", "–"]
    assert with_interval(estimate(0.7, 0.1), 2) == "0.70 [0.60, 0.80]"
    assert [p_value(x) for x in (0.0001, 0.0123, 0.5)] == ["< 0.001", "= 0.012", "= 0.50"]


def test_summary_names_who_is_not_significantly_different(store, add_results):
    for name, values in (("a", GOOD), ("b", NEAR), ("c", POOR)):
        add_results(store, model(name), "sums", values)
    said = summary(standings(store))
    assert said.startswith("a leads with 0.70")
    assert said.endswith("not significantly different from b.")


def test_summary_of_a_clear_lead(store, add_results):
    for name, values in (("a", GOOD), ("c", POOR)):
        add_results(store, model(name), "sums", values)
    assert summary(standings(store)).endswith("significantly better than the other model.")


def test_listed_counts_those_beyond_three():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(list("abcde")) == "a, b, c and 2 more"


def test_table_shows_ranks_intervals_and_ties(store, add_results):
    for name, values in (("a", GOOD), ("b", NEAR), ("c", POOR)):
        add_results(store, model(name), "sums", values)
    text = printed(standings(store), 200)
    assert "1 (1–2)  a" in text
    assert "0.70*" in text
    assert "0.10 " in text


def test_table_on_a_narrow_terminal_says_what_it_leaves_out(store, add_results):
    for task in ("alpha", "beta", "gamma"):
        add_results(store, model("a"), task, GOOD)
    text = printed(standings(store), 70)
    assert "not shown for lack of width: " in text
    assert "gamma" in text
    assert max(map(len, text.splitlines())) <= 70


def test_markup_in_names_is_only_text(store, add_results):
    add_results(store, model("[red]x|<b>y*"), "sums", GOOD)
    board = standings(store)
    assert "[red]x|<b>y*" in printed(board, 200)
    assert r"\[red\]x\|\<b\>y\*" in leaderboard_markdown(board)


def test_markdown_of_a_large_board_keeps_within_its_length(store, add_results):
    for place in range(30):
        add_results(store, model(f"model {place:03d} " + "x" * 300), "sums", [1.0, 0.0])
    text = leaderboard_markdown(standings(store), max_length=5_000)
    assert len(text) <= 5_000
    assert "more models" in text


def test_model_string_says_everything_that_changes_an_output():
    spec = ModelSpec(
        name="x",
        backend="hf",
        weights="org/base",
        revision="v1",
        quantization="nf4",
        dtype="bfloat16",
        adapters=(Adapter(name="m", path="a/m", weight=0.5), Adapter(name="s", path="s")),
    )
    said = "hf:org/base@v1?dtype=bfloat16&quant=nf4+lora:a/m*0.5+lora:s"
    assert model_string(spec) == said
