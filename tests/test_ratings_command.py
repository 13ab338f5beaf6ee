import json

import pytest

ROWS = [
    ("x", "y", "model_a", "r1", "human"),
    ("y", "x", "model_a", "r2", "human"),
    ("x", "y", "tie", "r3", "human"),
    ("x", "y", "model_a", "r3", "simulated"),
    ("z", "x", "model_a", "r1", "human"),
]


@pytest.fixture
def votes(tmp_path):
    path = tmp_path / "votes.csv"
    lines = ["model_a,model_b,winner,rater,rater_kind", *(",".join(row) for row in ROWS * 3)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rate_prints_strict_json(parity, votes):
    code, out, _ = parity("rate", votes, "--json")
    form = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    assert [*form] == ["method", "n_comparisons", "scale", "ratings", "warnings"]
    assert form["n_comparisons"] == 12
    assert [*form["ratings"][0]] == [
        "model", "rating", "low", "high", "rank", "rank_low", "rank_high", "n"
    ]  # fmt: skip


def test_infinite_rating_is_null_and_said(parity, votes):
    form = json.loads(parity("rate", votes, "--json")[1])
    best = form["ratings"][0]
    assert (best["model"], best["rating"], best["high"], best["rank"]) == ("z", None, None, 1)
    assert best["low"] is not None
    assert any("only wins" in warning and warning.endswith("z") for warning in form["warnings"])


def test_simulated_votes_count_only_when_asked_for_and_are_named(parity, votes):
    form = json.loads(
        parity("rate", votes, "--raters", "human", "--raters", "simulated", "--json")[1]
    )
    assert form["n_comparisons"] == 15
    assert "3 of the votes are simulated" in form["warnings"]


def test_table_is_for_people(parity, votes):
    code, out, err = parity("rate", votes)
    assert code == 0
    assert "12 votes" in out
    assert "warning: only wins" in err


def test_davidson_and_elo_say_so(parity, votes):
    assert (
        "Davidson"
        in json.loads(parity("rate", votes, "--method", "davidson", "--json")[1])["method"]
    )
    form = json.loads(parity("rate", votes, "--method", "elo", "--json")[1])
    assert form["ratings"][0]["low"] is None
    assert "depends on the order" in form["warnings"][0]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--method", "glicko"),
        ("--both-bad", "win"),
        ("--cluster", "day"),
        ("--level", "95"),
        ("--centre", "nan"),
        ("--anchor", "q"),
        ("--style", "length"),
    ],
)
def test_wrong_option_ends_with_one_line(parity, votes, option, value):
    code, out, err = parity("rate", votes, option, value)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) <= 2
    assert err.strip().splitlines()[-1].startswith("parity: ")


def test_bad_file_ends_with_a_line_for_each_kind(parity, votes):
    with votes.open("a") as file:
        file.write("x,y,A,r1,human\nx,x,tie,r1,human\n")
    code, _, err = parity("rate", votes)
    assert code == 2
    assert "got 'A'" in err
    assert "model_a and model_b must differ" in err
