"""Published studies computed again, and the page that shows them."""

import json
from functools import cache
from pathlib import Path

import pytest

from evalcore.errors import InputError
from evalcore.reproductions.records import Book, against
from evalcore.reproductions.studies import STUDIES, reproduce
from evalcore.reproductions.writing import markdown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reproductions.md"


@cache
def book(study: str, data: Path) -> Book:
    return reproduce(study, data)


@pytest.mark.parametrize("study", STUDIES)
def test_page_is_what_the_command_writes(shared_data, study):
    assert markdown(book(study, shared_data)) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("study", "outcomes"),
    [
        ("vicuna", {"exact": 12}),
        ("mt_bench", {"exact": 4}),
        ("pandalm", {"exact": 15}),
        ("alpaca_eval", {"exact": 40, "near": 27, "not reproducible": 4}),
        ("open_assistant", {"not reproducible": 2}),
    ],
)
def test_published_numbers_are_met(shared_data, study, outcomes):
    """Nothing differs; what is only near, or lost, is counted here so that it can't grow."""
    found: dict[str, int] = {}
    for finding in book(study, shared_data).findings:
        found[finding.outcome] = found.get(finding.outcome, 0) + 1
    assert {name: count for name, count in found.items() if name != "left out"} == outcomes


@pytest.mark.parametrize("study", [study for study in STUDIES if study != "open_assistant"])
def test_each_study_gets_what_it_left_out(shared_data, study):
    left_out = [f for f in book(study, shared_data).findings if f.outcome == "left out"]
    assert any("parity" in f.quantity or "parity" in f.table for f in left_out)
    for finding in left_out:
        if finding.estimate is not None:
            assert finding.estimate.low < finding.estimate.value < finding.estimate.high


def test_vicuna_has_an_interval_for_its_92_percent(shared_data):
    (finding,) = [f for f in book("vicuna", shared_data).findings if f.published == "92 %"]
    assert finding.estimate.low < 92.06 < finding.estimate.high
    assert finding.estimate.n == 80


def test_open_assistant_reads_nothing_and_says_so():
    found = reproduce("open_assistant", Path("/nowhere"))
    assert "never released" in found.remarks[0]
    seven = [f for f in found.findings if "7042" in f.table]
    words = {f.quantity: f.computed for f in seven}
    assert words["two-sided test of a difference"] == "p = 0.0042"
    assert words["two one-sided tests of parity within ±3 points"] == "p = 0.015"


@pytest.mark.parametrize(
    ("published", "value", "outcome"),
    [
        ("66 %", 66.4, "exact"),
        ("66 %", 66.6, "differs"),
        ("0.85", 0.8549, "exact"),
        ("0.85", 0.86, "near"),
    ],
)
def test_outcome_goes_by_the_digits_published(published, value, outcome):
    assert against("t", "q", published, value, tolerance=0.02).outcome == outcome


def test_annotations_as_the_repository_has_them(shared_data, tmp_path):
    """A model's ``annotations.json``, made of the table's rows, gives the published win rate."""
    import pandas as pd

    rows = pd.read_parquet(shared_data / "alpaca_eval/ae2_full_rows.parquet")
    rows = rows[rows["model"] == "alpaca-7b"].assign(generator_2="alpaca-7b")
    names = ["output_1", "output_2", "generator_2", "preference", "instruction"]
    folder = tmp_path / "results" / "alpaca-7b" / "weighted_alpaca_eval_gpt4_turbo"
    folder.mkdir(parents=True)
    rows[names].to_json(folder / "annotations.json", orient="records")
    board = tmp_path / "weighted_alpaca_eval_gpt4_turbo_leaderboard.csv"
    board.write_bytes((shared_data / "alpaca_eval/leaderboard_ae2.csv").read_bytes())
    found = reproduce("alpaca_eval", tmp_path).findings
    (rate,) = [f for f in found if f.table == "win rate, %"]
    assert (rate.quantity, rate.published, rate.outcome) == ("alpaca-7b", "2.59", "exact")
    (length,) = [f for f in found if "length" in f.table]
    assert length.outcome == "not reproducible"


def test_command_writes_table_json_and_page(parity, shared_data, tmp_path):
    page = tmp_path / "page.md"
    code, out, _ = parity("reproduce", "pandalm", "--data", shared_data, "-o", page)
    assert code == 0
    assert "0.852" in out
    assert page.read_text() in PAGE.read_text()
    code, out, _ = parity("reproduce", "pandalm", "--data", shared_data, "--json")
    assert json.loads(out)["findings"][0]["outcome"] == "exact"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("koala",), "STUDY must be one of vicuna, alpaca_eval"),
        (("vicuna", "--data", "/nowhere"), "--data must be a folder"),
        (("pandalm",), "has no testset-v1.json; they are in PandaLM's repository"),
    ],
)
def test_command_says_what_is_missing(parity, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, _, error = parity("reproduce", *arguments)
    assert code == 2
    assert said in error


def test_files_that_are_something_else_are_refused(tmp_path):
    for name in ("testset-v1.json", "gpt-3.5-turbo-testset-v1.json"):
        (tmp_path / name).write_text('[{"idx": 1}]')
    with pytest.raises(InputError, match=r"row 1: cmp_key, .* missing; the fields are idx"):
        reproduce("pandalm", tmp_path)
