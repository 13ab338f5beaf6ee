import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rigged_votes(tmp_path: Path) -> Path:
    """Honest votes that prefer A, and one rater who casts a third of them, all for C."""
    rng = np.random.default_rng(3)
    lines = []
    for n in range(400):
        a, b = rng.choice(["A", "B", "C"], size=2, replace=False)
        winner = "model_a" if rng.random() < (0.75 if a < b else 0.25) else "model_b"
        lines.append({"model_a": a, "model_b": b, "winner": winner, "rater": f"r{n % 40}"})
    rigged = {"model_a": "A", "model_b": "C", "winner": "model_b", "rater": "sock puppet"}
    path = tmp_path / "votes.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in [*lines, *[rigged] * 200]))
    return path


def test_check_names_the_rater_and_the_ranks_without(parity, rigged_votes: Path):
    code, out, _ = parity("rate", rigged_votes, "--check", "--json")
    checks = json.loads(out)["checks"]
    assert code == 0
    assert [found["rater"] for found in checks["outlier_raters"]] == ["sock puppet"]
    assert [found["rater"] for found in checks["dominating_raters"]] == ["sock puppet"]
    changed = {c["model"]: c["rank_without"] for c in checks["suspicions"][0]["rank_changes"]}
    assert changed["A"] == 1
    assert changed["C"] == 3


def test_check_says_in_words_what_it_found(parity, rigged_votes: Path):
    out = " ".join(parity("rate", rigged_votes, "--check")[1].split())
    assert "check: rater sock puppet cast 33% of the votes (200)" in out
    assert "votes unlike the others" in out


def test_check_of_honest_votes_finds_nothing(parity, rigged_votes: Path):
    honest = rigged_votes.read_text().splitlines()[:400]
    rigged_votes.write_text("\n".join(honest))
    assert (
        "check: the checks of the votes found nothing" in parity("rate", rigged_votes, "--check")[1]
    )


def test_checks_are_left_out_unless_asked_for(parity, rigged_votes: Path):
    assert "checks" not in json.loads(parity("rate", rigged_votes, "--json")[1])
