"""Foreign files that can't be used: file, line and field are told, and nothing is kept."""

import json
import zipfile
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from exchange_files import fresh_store, lm_eval_files, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalcore.__main__ import main
from evalcore.errors import InputError
from evalcore.exchange import rows as exchange_rows
from evalcore.exchange.importing import import_files
from evalcore.store.schema import metadata

GOOD = {"model_a": "x", "model_b": "y", "winner": "tie", "id": "v1"}
BATTLE = {
    **{"model_a": "x", "model_b": "y", "winner": "tie", "question_id": "a" * 32},
    "conversation_a": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "A"}],
    "conversation_b": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "B"}],
}
RATING = {"question_id": 1, "model": "x", "judge": ["g", "s"], "turn": 1, "score": 5, "tstamp": 1}
ANSWER = {"instruction": "Hi", "output": "Yo", "generator": "x"}
GAMES = {"uid": "q", "judge": "g", "model": "x", "baseline": "y"}


@pytest.fixture
def store(tmp_path: Path):
    with fresh_store(tmp_path / "out") as store:
        yield store


def is_empty(store) -> bool:
    facts = [table for table in metadata.sorted_tables if table.name not in ("change_count",)]
    with store.engine.connect() as connection:
        counts = [connection.scalar(sa.select(sa.func.count()).select_from(t)) for t in facts]
    return not any(counts)


def refused(store, form: str, *paths: Path) -> str:
    with pytest.raises(InputError) as error:
        import_files(form, paths, store)
    assert is_empty(store)
    return str(error.value)


@pytest.mark.parametrize(
    ("form", "lines", "said"),
    [
        ("votes", [GOOD, GOOD | {"id": "v2", "winner": "A"}], "line 2; 1 line"),
        ("votes", [GOOD, GOOD | {"id": "v2", "winner": "A"}], "winner must be one of model_a"),
        ("votes", [GOOD, GOOD], "id must be unique; got 'v1' (FILE, line 2"),
        ("votes", [GOOD, {"id": "v2", "model_a": "x"}], "line 2: model_b, winner missing"),
        ("votes", [GOOD | {"model_b": "x"}], "model_a and model_b must differ; got 'x'"),
        ("votes", [GOOD | {"model_b": ""}], "model_b must be a model's name"),
        ("votes", [GOOD | {"created_utc": "soon"}], "created_utc must be seconds since 1970 or"),
        ("votes", [GOOD | {"rater_kind": "dog"}], "rater_kind must be one of human, judge"),
        ("votes", [GOOD | {"swapped": "perhaps"}], "swapped must be true or false"),
        ("lmarena", [BATTLE | {"winner": "left"}], "winner must be one of"),
        ("lmarena", [BATTLE, BATTLE], "id must be unique"),
        ("lmarena", [BATTLE | {"conversation_a": 3}], "line 1: conversation_a must be a list of"),
        ("lmarena", [BATTLE | {"conversation_a": BATTLE["conversation_a"][1:]}], "take turns"),
        ("lmarena", [BATTLE, {"model_a": "x"}], "line 2: model_b missing"),
        ("lmarena", [{"question_id": 1, "turns": ["Hi"]}], "looks like fastchat"),
        ("fastchat", [RATING, RATING], "line 2: question 1, turn 1 of x is rated twice"),
        ("fastchat", [RATING | {"score": 11}], "score must be from 0 to 10, or -1"),
        ("fastchat", [GOOD], "needs the fields"),
        ("fastchat", [{"tstamp": 1, "type": "leftvote"}], "line 1: models, states missing"),
        ("alpaca_eval", [ANSWER, {"instruction": "Hi", "output": "Yo"}], "line 2: generator miss"),
        ("arena_hard", [GAMES | {"games": [{}]}], "line 1: games must be two"),
        ("arena_hard", [GAMES | {"games": [{}, {}], "model": "y"}], "must differ"),
        ("arena_hard", [RATING], "looks like fastchat"),
        ("pandalm", [GOOD], "annotator1 must be one of 0, 1, 2"),
    ],
)
def test_bad_lines_are_told_and_nothing_is_kept(store, tmp_path, form, lines, said):
    path = write(tmp_path / "file.jsonl", lines)
    assert said.replace("FILE", str(path)) in refused(store, form, path)


@pytest.mark.parametrize("form", ["votes", "lmarena", "fastchat", "alpaca_eval", "arena_hard"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"model_a": "x"', "line 1: not JSON"),
        (b"\xff\xfe{}", "line 1: not UTF-8"),
        (b"[1, 2]\n", "line 1: must be a JSON object; got list"),
        (b"", "holds no rows"),
        (b"[" * 100_000, "line 1: not JSON"),
    ],
)
def test_files_that_are_no_json_lines(store, tmp_path, form, content, said):
    path = tmp_path / "file.jsonl"
    path.write_bytes(content)
    assert said in refused(store, form, path)


def test_a_bad_last_line_undoes_the_million_before(store, tmp_path):
    """All or nothing, across the batches of the fast way."""
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,winner\n" + "x,y,tie\n" * 150_000 + "x,y,perhaps\n")
    assert "line 150002; 1 line" in refused(store, "votes", path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "model_a,model_b,winner\nx,y\n", "line 2"),
        ("a.csv", "model_a,model_b\nx,y\n", "column winner is missing"),
        ("a.parquet", "PAR1 and no more", "not a parquet file"),
        ("a.txt", "x", "its name must end in .jsonl"),
        ("a.json", "{}", "must be a list of objects; got dict"),
        ("a.json", "[{]", "not JSON"),
    ],
)
def test_votes_of_other_kinds(store, tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    assert said in refused(store, "votes", tmp_path / name)


def test_truncated_parquet_is_told(store, tmp_path):
    path = tmp_path / "battles.parquet"
    pd.DataFrame([GOOD | {"id": str(number)} for number in range(1000)]).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a parquet file that can be read" in refused(store, "votes", path)


def test_damaged_parquet_pages_are_told(store, tmp_path):
    path = tmp_path / "battles.parquet"
    pd.DataFrame([GOOD | {"id": str(number)} for number in range(1000)]).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[8:1500] = b"\xff" * 1492
    path.write_bytes(content)
    assert str(path) in refused(store, "votes", path)


def log_archive(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_json", ".json"), text)
    return path


HEADER = json.dumps(
    {
        **{"version": 2, "status": "success", "eval": {"task": "t", "model": "m"}},
        "results": {"scores": [{"name": "s", "metrics": {"accuracy": {"value": 1.0}}}]},
    }
)


def test_zip_bombs_are_not_unpacked(store, tmp_path):
    path = log_archive(tmp_path / "a.eval", header_json=HEADER, samples__1_json=" " * (50 << 20))
    assert "bytes packed into" in refused(store, "inspect", path)


def test_truncated_zip_is_told(store, tmp_path):
    path = log_archive(tmp_path / "a.eval", header_json=HEADER)
    path.write_bytes(path.read_bytes()[:-30])
    assert "not an archive that can be read" in refused(store, "inspect", path)


def test_log_that_has_not_ended_is_told(store, tmp_path):
    assert "has no header.json" in refused(store, "inspect", log_archive(tmp_path / "a.eval"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": None, "eval": 3}, "eval must be an object"),
        ({"eval": {"task": "t"}}, "eval.model must be a text"),
        ({"results": {"scores": 3}}, "scores must be a list"),
        ({"samples": [{"id": 1}]}, "sample 1: needs the fields id, input"),
        ({"samples": [{"id": 1, "input": "x"}] * 2}, "sample 2: id '1', epoch 1 is there twice"),
        ({"results": {}}, "has no scores"),
    ],
)
def test_logs_with_something_wrong(store, tmp_path, change, said):
    path = write(tmp_path / "log.json", json.loads(HEADER) | change)
    assert said in refused(store, "inspect", path)


def test_huge_lines_are_bounded(store, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange_rows, "_LONGEST_LINE", 1000)
    path = write(tmp_path / "file.jsonl", [ANSWER, ANSWER | {"output": "x" * 2000}])
    assert "line 2: longer than" in refused(store, "alpaca_eval", path)


def test_samples_need_their_results(store, tmp_path):
    (path,) = lm_eval_files(tmp_path / "lm").glob("**/samples_*")
    assert "needs its results_*.json" in refused(store, "lm_eval", path)


def test_results_of_an_older_version_are_told(store, tmp_path):
    path = write(tmp_path / "results_1.json", {"results": {}, "versions": {}, "config": {}})
    assert "needs the fields results, configs, versions, n-samples" in refused(
        store, "lm_eval", path
    )


def test_results_of_another_tool_are_told(store, tmp_path):
    fields = {"config_general": {}, "results": {}, "versions": {}, "config_tasks": {}}
    path = write(tmp_path / "results_1.json", fields)
    assert "looks like lighteval" in refused(store, "lm_eval", path)


def test_unknown_format_and_missing_file_are_told(parity, tmp_path):
    for arguments, said in (
        (("koala", "x"), "FORMAT must be one of alpaca_eval, arena_hard"),
        (("votes", tmp_path / "gone.csv"), "no such file"),
        (("inspect", tmp_path), "no files of inspect in it"),
    ):
        code, _, error = parity("import", *arguments, "-w", tmp_path / "out")
        assert code == 2
        assert said in error
        assert len(error.strip().splitlines()) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def replaced(content: object, place: int, value: object) -> object:
    """Put a value at some place of a nested structure."""
    if isinstance(content, dict) and content:
        keys = sorted(content)
        key = keys[place % len(keys)]
        inner = content[key]
        deeper = isinstance(inner, dict | list) and inner and place >= len(keys)
        return {**content, key: replaced(inner, place // len(keys), value) if deeper else value}
    if isinstance(content, list) and content:
        return [replaced(content[0], place, value), *content[1:]]
    return value


def documents() -> dict[str, tuple[str, object]]:
    state = {"conv_id": "c", "model_name": "x", "offset": 0, "messages": [["u", "Hi"], ["a", "A"]]}
    log = {"tstamp": 1.0, "type": "leftvote", "models": ["", ""]}
    lighteval = {
        **{"config_general": {"model_name": "m"}, "results": {"t": {"em": 1.0}}},
        **{"versions": {"t": 1}, "config_tasks": {"t": {"metric": [{"metric_name": "em"}]}}},
    }
    lm_eval = {
        **{"results": {"t": {"acc,none": 1.0}}, "configs": {"t": {}}, "versions": {"t": 1}},
        **{"n-samples": {"t": {"effective": 1}}, "model_name": "m", "config": {}},
    }
    sample = {"id": 1, "input": [{"role": "user", "content": "x"}], "scores": {"s": {"value": 1}}}
    sample |= {"output": {"choices": [{"message": {"content": "y"}}]}, "target": "z"}
    answers = {"uid": "q", "model": "x", "messages": [{"role": "assistant", "content": "A"}]}
    return {
        "votes": ("a.jsonl", GOOD),
        "lmarena": ("a.jsonl", BATTLE),
        "fastchat": ("a.jsonl", {**log, "states": [state, state | {"model_name": "y"}]}),
        "fastchat rating": ("a.jsonl", RATING),
        "alpaca_eval": ("a.jsonl", ANSWER),
        "arena_hard": ("a.jsonl", GAMES | {"games": [{"score": "A>B"}, {"score": "A>B"}]}),
        "arena_hard answers": ("a.jsonl", answers),
        "lm_eval": ("results_1.json", lm_eval),
        "lighteval": ("results_1.json", lighteval),
        "inspect": ("a.json", {**json.loads(HEADER), "samples": [sample]}),
    }


@pytest.mark.parametrize("name", list(documents()))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 400), value=JSON)
def test_any_change_is_read_or_told_in_one_line(store, tmp_path, name, place, value):
    """No change of a good file ends in anything but records or an InputError."""
    file, good = documents()[name]
    bad = replaced(good, place, value)
    path = write(tmp_path / file, [bad] if file.endswith("l") else bad)
    with suppress(InputError):
        import_files(name.split()[0], [path], store)


@pytest.mark.parametrize("arguments", [("foo", "votes.csv"), ("votes", "nosuch.csv")])
def test_wrong_usage_makes_no_workspace(parity, tmp_path, arguments):
    code, _, error = parity("import", *arguments, "-w", tmp_path / "out")
    assert (code, error.count("\n")) == (2, 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"raw_completion": {"logprobs": {"content": [{"top_logprobs": [{"token": "m"}]}]}}},
        {"raw_completion": {"logprobs": {"content": [3]}}},
        {"raw_completion": {"logprobs": "none"}},
        {"judge_top_logprobs": "{"},
        {"judge_top_logprobs": {"m": "likely"}},
    ],
)
def test_probabilities_that_are_none_are_told_with_their_line(store, tmp_path, fields):
    row = {"instruction": "Hi", "generator_1": "x", "generator_2": "y", "preference": 1.0}
    path = write(tmp_path / "annotations.json", [row, row | fields])
    with pytest.raises(InputError, match=rf"row 2: {next(iter(fields))} must have the logarithms"):
        import_files("alpaca_eval", [path], store)
    assert is_empty(store)


def test_signs_that_paint_a_terminal_are_shown_in_messages(monkeypatch, capsys, tmp_path):
    path = write(tmp_path / "votes.json", [{"model\0_a\x1b[2J\u202e": 1}])
    arguments = ["parity", "import", "lmarena", str(path), "-w", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match="2"):
        main()
    message = capsys.readouterr().err
    assert "has model␀_a␛[2J[U+202E]" in message


def test_values_in_messages_are_cut(store, tmp_path):
    path = write(tmp_path / "question.jsonl", [{"question_id": 1, "turns": "A" * 70_000}])
    with pytest.raises(InputError, match="line 1: turns must be a list") as caught:
        import_files("fastchat", [path], store)
    assert len(str(caught.value)) < 500
