import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalcore.errors import VotesError
from evalcore.records import Comparison
from evalcore.votes import WINNERS, Votes, read_votes

ROWS = [
    {"model_a": "x", "model_b": "y", "winner": "model_a", "judge": "r1", "question_id": 7},
    {"model_a": "y", "model_b": "x", "winner": "tie", "judge": "r2", "question_id": 7},
    {"model_a": "x", "model_b": "z", "winner": "tie (bothbad)", "judge": "r1", "question_id": 8},
    {"model_a": "z", "model_b": "y", "winner": "model_b", "judge": "r2", "question_id": 8},
]
FORMATS = ("jsonl", "csv", "parquet")


def write(folder: Path, rows: list[dict], suffix: str) -> Path:
    path = folder / f"votes.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif suffix == "csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(VotesError) as caught:
        read_votes(path)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("suffix", FORMATS)
def test_votes_read_the_same_from_every_format(tmp_path, suffix):
    votes = read_votes(write(tmp_path, ROWS, suffix))
    assert votes.models == ("x", "y", "z")
    assert votes.model_a.tolist() == [0, 1, 0, 2]
    assert votes.model_b.tolist() == [1, 0, 2, 1]
    assert [WINNERS[code] for code in votes.winner] == ["model_a", "tie", "both_bad", "model_b"]
    assert votes.rater.names == ("r1", "r2")
    assert votes.rater.codes.tolist() == [0, 1, 0, 1]
    assert votes.example.names == ("7", "8")


@pytest.mark.parametrize("suffix", FORMATS)
def test_unknown_winner_is_an_error_with_line_and_count(tmp_path, suffix):
    rows = [*ROWS, {**ROWS[0], "winner": "A"}, {**ROWS[0], "winner": "B"}]
    place = {"jsonl": "line 5; 2 lines", "csv": "line 6; 2 lines", "parquet": "row 5; 2 rows"}
    path = write(tmp_path, rows, suffix)
    assert problems(path) == [
        f"winner must be one of model_a, model_b, tie, both_bad; got 'A' ({path}, {place[suffix]})"
    ]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("missing", [None, float("nan")])
def test_missing_model_is_an_error(tmp_path, suffix, missing):
    path = write(tmp_path, [*ROWS, {**ROWS[0], "model_a": missing}], suffix)
    assert len(problems(path)) == 1
    assert problems(path)[0].startswith("model_a must be a model's name")


@pytest.mark.parametrize("suffix", FORMATS)
def test_battle_of_a_model_with_itself_is_an_error(tmp_path, suffix):
    path = write(tmp_path, [*ROWS, {**ROWS[0], "model_b": "x"}], suffix)
    assert problems(path)[0].startswith("model_a and model_b must differ; got 'x'")


@pytest.mark.parametrize("suffix", FORMATS)
def test_repeated_id_is_an_error(tmp_path, suffix):
    rows = [{**row, "id": f"v{i // 2}"} for i, row in enumerate(ROWS)]
    assert problems(write(tmp_path, rows, suffix))[0].startswith("id must be unique; got 'v0'")


@pytest.mark.parametrize("suffix", FORMATS)
def test_missing_column_is_named(tmp_path, suffix):
    rows = [{k: v for k, v in row.items() if k != "winner"} for row in ROWS]
    assert "winner is missing" in problems(write(tmp_path, rows, suffix))[0]


@pytest.mark.parametrize(
    ("name", "content"), [("e.jsonl", ""), ("e.csv", ""), ("h.csv", "model_a,model_b,winner\n")]
)
def test_empty_file_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert problems(tmp_path / name)[0].startswith("there must be at least one vote")


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_malformed_lines_make_one_line_of_error(tmp_path, suffix):
    path = write(tmp_path, ROWS, suffix)
    with path.open("ab") as file:
        file.write(b"what,is this\n" * 100_000)
    (only,) = problems(path)
    assert only.endswith(f"line {5 if suffix == 'jsonl' else 6}; 100000 lines)")


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_mixed_encodings_are_an_error_beside_the_others(tmp_path, suffix):
    path = write(tmp_path, [*ROWS, {**ROWS[0], "winner": "A"}], suffix)
    with path.open("ab") as file:
        file.write("é,y,tie\n".encode("latin-1"))
    kinds = [line.split(";")[0].split(" (")[0] for line in problems(path)]
    assert kinds == [
        "winner must be one of model_a, model_b, tie, both_bad",
        "each line must be UTF-8",
    ]


def test_line_is_counted_through_quoted_line_breaks(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text('text,model_a,model_b,winner\n"a\nb",x,y,tie\n"c\nd",x,y,A\n')
    assert "line 4; 1 line" in problems(path)[0]


def test_utf8_mark_at_the_beginning_is_read(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("\ufeffmodel_a,model_b,winner\nx,y,tie\n", encoding="utf-8")
    assert read_votes(path).models == ("x", "y")


def test_unknown_kind_of_file_is_an_error(tmp_path):
    assert "must be one of .jsonl" in problems(tmp_path / "votes.txt")[0]
    assert "can't be read" in problems(tmp_path / "votes.csv")[0]


def test_feature_that_is_no_number_is_an_error(tmp_path):
    rows = [{**row, "length_a": 3, "length_b": i and "?"} for i, row in enumerate(ROWS)]
    path = write(tmp_path, rows, "jsonl")
    with pytest.raises(VotesError, match="length_b must be a number of at least 0; got '\\?'"):
        read_votes(path, features=("length",))


@pytest.mark.parametrize("suffix", FORMATS)
def test_features_are_read_from_two_columns(tmp_path, suffix):
    rows = [{**row, "length_a": i, "length_b": 2.5} for i, row in enumerate(ROWS)]
    votes = read_votes(write(tmp_path, rows, suffix), features=("length",))
    assert votes.features["length"].tolist() == [[0, 2.5], [1, 2.5], [2, 2.5], [3, 2.5]]


def test_times_are_seconds_or_dates():
    columns = {"model_a": ["x"] * 4, "model_b": ["y"] * 4, "winner": ["tie"] * 4}
    times = ["1970-01-01T00:01:00Z", "90.5", None, "1970-01-01 02:00:00+02:00"]
    votes = Votes.from_columns({**columns, "created_utc": times})
    np.testing.assert_array_equal(votes.created_s, [60.0, 90.5, np.nan, 0.0])


def test_comparisons_become_votes():
    shared = {"example_id": "e", "rater": "r", "rater_kind": "simulated", "created_utc": "5"}
    votes = Votes.from_comparisons(
        Comparison(id=w, model_a="x", model_b="y", winner=w, swapped=w == "tie", **shared)
        for w in WINNERS
    )
    assert votes.winner.tolist() == [0, 1, 2, 3]
    assert votes.swapped.tolist() == [0, 0, 1, 0]
    assert votes.rater_kind.names == ("simulated",)


def test_categories_text_and_lists_encode_alike():
    frame = pd.DataFrame(ROWS)[["model_a", "model_b", "winner"]]
    text = Votes.from_columns(frame)
    for other in (frame.astype("category"), frame.astype(object), frame.to_dict("list")):
        votes = Votes.from_columns(other)
        assert votes.models == text.models
        assert votes.model_a.tolist() == text.model_a.tolist()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_blocks_make_no_difference(monkeypatch, size):
    frame = pd.DataFrame(
        {"model_a": list("yxzay"), "model_b": list("xyxzx"), "winner": ["tie"] * 5}
    )
    whole = Votes.from_columns(frame)
    monkeypatch.setattr("evalcore.votes.encode._BLOCK_VOTES", size)
    blocks = Votes.from_columns(frame)
    assert blocks.models == whole.models == ("a", "x", "y", "z")
    assert blocks.model_a.tolist() == whole.model_a.tolist() == [2, 1, 3, 0, 2]


def test_problems_are_found_in_every_block(monkeypatch):
    monkeypatch.setattr("evalcore.votes.encode._BLOCK_VOTES", 2)
    a, b = ["x", "y", "x", None, "y"], ["y", "x", "x", "y", "x"]
    with pytest.raises(VotesError) as caught:
        Votes.from_columns({"model_a": a, "model_b": b, "winner": ["tie"] * 4 + ["TIE"]})
    lines = str(caught.value).splitlines()
    assert [line.split("(")[-1] for line in lines] == [
        "votes, row 3; 1 row)",
        "votes, row 4; 1 row)",
        "votes, row 5; 1 row)",
    ]


def test_columns_of_unequal_length_are_an_error():
    with pytest.raises(VotesError, match="equal length"):
        Votes.from_columns({"model_a": ["x"], "model_b": ["y", "x"], "winner": ["tie"]})


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["a", "ü b", 'quo"te', "com,ma"]), min_size=1, max_size=30))
def test_csv_reads_back_what_was_written(tmp_path_factory, names):
    rows = [{"model_a": name, "model_b": "other", "winner": "tie"} for name in names]
    votes = read_votes(write(tmp_path_factory.mktemp("votes"), rows, "csv"))
    assert [votes.models[code] for code in votes.model_a] == names
