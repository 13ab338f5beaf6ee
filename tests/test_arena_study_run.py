"""Whole studies through the service, with simulated raters; the full one is benchmarks/study.py."""

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from arena.studies.lock import MANIFEST, lock_study, verify_export
from arena.studies.registry import load_study
from evalcore.errors import InputError
from evalcore.store import open_store
from evalcore.votes import read_votes

PATH = Path(__file__).parent.parent / "benchmarks" / "study.py"
PROMPTS, RATERS, RATINGS = 24, 12, 5


def load_script():
    spec = importlib.util.spec_from_file_location("simulated_study", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pairwise(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pairwise")
    script = load_script()
    return script.run_study(folder, kind="pairwise", n_prompts=PROMPTS, n_raters=RATERS, k=RATINGS)


def lines(outcome, name: str) -> list[dict]:
    return [json.loads(line) for line in (outcome.export / name).read_text().splitlines()]


def test_every_item_has_its_ratings_and_no_more(pairwise):
    votes = [vote for vote in lines(pairwise, "votes.jsonl") if vote["kind"] == "main"]
    assert set(Counter(vote["item"] for vote in votes).values()) == {RATINGS}
    assert pairwise.report.n_complete == PROMPTS
    assert pairwise.report.by_status == {"counted": PROMPTS * RATINGS}


def test_no_rater_sees_an_item_twice_or_more_than_the_quota(pairwise):
    votes = lines(pairwise, "votes.jsonl")
    assert max(Counter((vote["rater"], vote["item"]) for vote in votes).values()) == 1
    main = Counter(vote["rater"] for vote in votes if vote["kind"] == "main")
    quota = pairwise.report.study.definition.items_per_rater
    assert len(main) == RATERS
    assert max(main.values()) <= quota


def test_sides_are_balanced_in_every_item(pairwise):
    left = Counter((vote["item"], vote["shown"][0]) for vote in lines(pairwise, "votes.jsonl"))
    for item in {item for item, _ in left}:
        counts = [n for (of, _), n in left.items() if of == item]
        assert len(counts) == 1 or max(counts) - min(counts) <= 1
    assert abs(pairwise.report.positions["koala"][0] - PROMPTS * RATINGS / 2) <= 5


def test_careless_raters_are_flagged_and_honest_ones_are_not(pairwise):
    flagged = {rater.rater for rater in pairwise.report.raters if rater.flags}
    found = {
        kind: [r for r, k in pairwise.raters.items() if k == kind] for kind in ("hasty", "left")
    }
    assert set(found["hasty"] + found["left"]) <= flagged
    assert not [rater for rater in flagged if pairwise.raters[rater] == "honest"]


def test_result_is_reported_with_and_without_flagged_raters(pairwise):
    text = (pairwise.export / "report.md").read_text()
    assert "## All raters" in text
    assert f"## Without the {pairwise.report.n_flagged} flagged raters" in text
    (pair,) = pairwise.report.result.pairs
    (honest,) = pairwise.report.unflagged.pairs
    assert "clustered by rater and example" in pair.win_rate.estimate.method
    assert honest.win_rate.estimate.n < pair.win_rate.estimate.n
    assert pair.test.words in text


def test_known_items_are_kept_and_count_for_nothing(pairwise):
    kinds = Counter(vote["kind"] for vote in lines(pairwise, "votes.jsonl"))
    assert kinds["training"] == 2 * RATERS
    assert kinds["gold"] > kinds["attention"] > 0
    models = {c["model_a"] for c in lines(pairwise, "comparisons.jsonl")}
    assert models == {"koala"}


def test_names_in_answers_are_masked_and_noted(pairwise):
    leaks = [vote["leaks"] for vote in lines(pairwise, "votes.jsonl") if vote["leaks"]]
    assert {leak for found in leaks for texts in found.values() for leak in texts} == {
        "Koala",
        "Alpaca",
    }
    assert pairwise.report.n_masked == 2 * RATINGS


def test_export_has_no_identity(pairwise):
    text = "".join(path.read_text() for path in pairwise.export.iterdir())
    assert not [rater for rater in pairwise.raters if rater in text]


def test_exported_comparisons_are_a_vote_file(pairwise):
    votes = read_votes(pairwise.export / "comparisons.jsonl")
    assert len(votes) == PROMPTS * RATINGS
    assert votes.models == ("alpaca", "koala")


@pytest.mark.parametrize("name", ["votes.jsonl", "report.md"])
def test_changed_export_is_found_out(pairwise, name: str):
    assert verify_export(pairwise.export) == pairwise.export_hash
    path = pairwise.export / name
    before = path.read_bytes()
    try:
        path.write_bytes(before.replace(b"left", b"right", 1))
        with pytest.raises(InputError, match=f"{name} was changed"):
            verify_export(pairwise.export)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("does", ["remove", "add"])
def test_file_that_is_missing_or_too_many_is_found_out(pairwise, does: str):
    path = pairwise.export / ("raters.jsonl" if does == "remove" else "more.txt")
    before = path.read_bytes() if does == "remove" else b""
    try:
        path.unlink() if does == "remove" else path.write_text("x")
        with pytest.raises(InputError, match=r"is missing|does not belong"):
            verify_export(pairwise.export)
    finally:
        path.write_bytes(before) if does == "remove" else path.unlink()


def test_locked_study_knows_its_hash_and_is_not_locked_again(pairwise, tmp_path: Path):
    with open_store(pairwise.export.parent / "out") as store:
        with store.engine.connect() as connection:
            study = load_study(connection, "koala-pairwise")
        assert (study.status, study.export_hash) == ("locked", pairwise.export_hash)
        with pytest.raises(InputError, match="locked already"):
            lock_study(store, "koala-pairwise", tmp_path / "again", actor="me")
    assert not (tmp_path / "again").exists()


def test_export_that_can_not_be_written_locks_nothing(tmp_path: Path):
    script = load_script()
    path = script.write_study(tmp_path, kind="pairwise", n_prompts=2, n_raters=2, k=1)
    (tmp_path / "file").write_text("in the way")
    with open_store(tmp_path / "out") as store:
        name = script.register_study(path, store).name
        with pytest.raises(InputError, match="can't be written"):
            lock_study(store, name, tmp_path / "file" / "export", actor="me")
        with store.engine.connect() as connection:
            assert load_study(connection, name).status == "open"


def test_ranking_study_counts_every_pair_and_ranks_all(tmp_path: Path):
    script = load_script()
    outcome = script.run_study(tmp_path, kind="ranking", n_prompts=8, n_raters=6, k=4)
    result = outcome.report.result
    assert [pair.win_rate.estimate.n for pair in result.pairs] == [32] * 6
    assert [mean.scale for mean in result.means] == ["rank"] * 4
    ranks = [mean.mean.value for mean in result.means]
    assert ranks == sorted(ranks)
    assert sum(ranks) == pytest.approx(1 + 2 + 3 + 4)
    counts = list(outcome.report.positions.values())
    assert counts == [[8] * 4] * 4


def test_rating_study_has_means_on_every_scale(tmp_path: Path):
    script = load_script()
    outcome = script.run_study(tmp_path, kind="rating", n_prompts=6, n_raters=6, k=3)
    result = outcome.report.result
    assert result.pairs == ()
    assert Counter(mean.scale for mean in result.means) == dict.fromkeys(
        ("helpfulness", "truth", "refusal"), 2
    )
    for mean in result.means:
        assert mean.mean.n == 18
        assert mean.mean.low <= mean.mean.value <= mean.mean.high
    assert {row.of for row in result.agreement} == {"helpfulness", "truth", "refusal"}
    assert lines(outcome, "comparisons.jsonl") == []


def test_report_files_are_complete(pairwise):
    assert {path.name for path in pairwise.export.iterdir()} == {
        MANIFEST,
        "study.json",
        "items.jsonl",
        "votes.jsonl",
        "comparisons.jsonl",
        "raters.jsonl",
        "report.json",
        "report.md",
        "report.html",
    }
    assert "http" not in (pairwise.export / "report.html").read_text()
