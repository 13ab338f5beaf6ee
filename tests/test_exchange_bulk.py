"""Many rows at once: what is inserted and written by the column is what it would be row by row."""

import csv
import io
import json
import threading
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from exchange_files import fresh_store, write
from hypothesis import given, settings
from hypothesis import strategies as st

from evalcore.errors import InputError, WorkspaceError
from evalcore.exchange.ahead import made_ahead
from evalcore.exchange.exporting import export_votes
from evalcore.exchange.importing import import_files
from evalcore.exchange.writing import write_columns, write_rows
from evalcore.spreadsheet import harmless
from evalcore.store import open_store, schema
from evalcore.store.bulk import insert_columns
from evalcore.store.responses import _turns_query

COLUMNS = ("id", "example_id", "model_a", "model_b", "winner", "rater", "rater_kind")


def vote_columns(ids: list[str], **others: object) -> dict[str, object]:
    n = len(ids)
    return {
        "id": pa.array(ids, pa.string()),
        "example_id": pa.array([f"e{place}" for place in range(n)], pa.string()),
        "model_a": pa.array([f"m{place % 3}" for place in range(n)]).dictionary_encode(),
        "model_b": "other",
        "winner": pa.array(["tie"] * n, pa.string()),
        "rater": pa.array([f"person {place % 7}" for place in range(n)]),
        "rater_kind": "human",
        "swapped": pa.array([place % 2 == 0 for place in range(n)], pa.bool_()),
        "created_utc": "2026-01-01T00:00:00Z",
        "explanation": "",
        "judge_prompt_version": pa.array([None] * n, pa.string()),
        "cost_usd": pa.array([None, 0.5] * n, pa.float64())[:n],
        "source_id": 1,
    } | others


def inserted(store, columns) -> int:
    with store.engine.begin() as connection:
        return insert_columns(connection, schema.comparison, columns)


def stored(store) -> dict[str, object]:
    with store.engine.connect() as connection:
        rows = connection.execute(schema.comparison.select().order_by(schema.comparison.c.id))
        return {row.id: row._asdict() for row in rows}


def expected(columns) -> dict[str, object]:
    n = len(columns["id"])
    lists = {k: x.to_pylist() if isinstance(x, pa.Array) else [x] * n for k, x in columns.items()}
    return {row[0]: dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)}


@pytest.fixture
def store(tmp_path):
    with fresh_store(tmp_path / "out") as opened:
        yield opened


@pytest.mark.parametrize("n", [1, 63, 64, 65, 8192, 8300])
def test_columns_become_the_rows_that_they_say(store, n):
    """Whole statements, a rest, and more than are bound at once."""
    columns = vote_columns([f"{place * 7919 % n:032x}" for place in range(n)])
    assert inserted(store, columns) == n
    assert stored(store) == expected(columns)


def test_no_columns_are_no_rows(store):
    assert inserted(store, vote_columns([])) == 0


def test_rows_that_are_there_stay_and_are_not_counted(store):
    assert inserted(store, vote_columns(["b", "a", "long " * 8])) == 3
    assert inserted(store, vote_columns(["a", "c", "b"], winner="model_a")) == 1
    assert {key: row["winner"] for key, row in stored(store).items()} == {
        **dict.fromkeys(("a", "b", "long " * 8), "tie"),
        "c": "model_a",
    }


def test_a_key_that_comes_twice_is_one_row(store):
    assert inserted(store, vote_columns(["x", "x", "y"])) == 2


def test_texts_that_are_no_plain_words_are_bound_to_the_statement(store):
    quote = "'); DROP TABLE comparison; --"
    assert inserted(store, vote_columns(["a", "b"], explanation=quote, rater="O'Hara %s ?")) == 2
    assert [(r["explanation"], r["rater"]) for r in stored(store).values()] == [
        (quote, "O'Hara %s ?")
    ] * 2


def test_failing_row_undoes_all(store):
    bad = vote_columns([f"{place:08}" for place in range(500)])
    bad["winner"] = pa.array([*["tie"] * 499, None])
    with pytest.raises(sa.exc.IntegrityError):
        inserted(store, bad)
    assert stored(store) == {}


VALUES = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
    st.sampled_from(
        ["=1+1", "'=x", "a,b", 'say "x"', "two\nlines", "%s", "\\", "", "-0.5", "\x7f"]
    ),
)
NAMES = ("text", "100%", "flag", "n")
ROWS = st.tuples(VALUES, VALUES, st.booleans(), VALUES).map(
    lambda row: dict(zip(NAMES, row, strict=True))
)
TABLES = st.lists(ROWS, min_size=1, max_size=8)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
@settings(max_examples=40)
@given(rows=TABLES, cut=st.integers(1, 8))
def test_columns_are_written_as_their_rows(tmp_path_factory, ending, rows, cut):
    folder = tmp_path_factory.mktemp("columns")
    batches = [rows[start : start + cut] for start in range(0, len(rows), cut)]
    write_rows(folder / f"rows.{ending}", rows)
    write_columns(
        folder / f"columns.{ending}",
        ({name: [row[name] for row in some] for name in some[0]} for some in batches),
    )
    by_row, by_column = (folder / f"{name}.{ending}" for name in ("rows", "columns"))
    assert by_column.read_bytes() == by_row.read_bytes()


@pytest.mark.parametrize("value", [0.5, 3, None, True, "x"])
def test_columns_of_any_kind_are_what_json_and_csv_make_of_them(tmp_path, value):
    path = tmp_path / "a.jsonl"
    write_columns(path, [{"a": [value, "y"], "b": [value, value]}])
    assert path.read_text() == "".join(
        json.dumps(row) + "\n" for row in ({"a": value, "b": value}, {"a": "y", "b": value})
    )
    write_columns(tmp_path / "a.csv", [{"a": [value, "y"], "b": [value, value]}])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["a", "b"], [value, value], ["y", value]])
    assert (tmp_path / "a.csv").read_text() == text.getvalue()


def test_columns_in_parquet_are_grouped_by_ten_thousand(tmp_path):
    batches = [{"n": [f"{k}-{j}" for j in range(500)]} for k in range(45)]
    write_columns(tmp_path / "a.parquet", batches)
    file = pq.ParquetFile(tmp_path / "a.parquet")
    sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
    assert sizes == [10_000, 10_000, 2_500]
    assert file.read().column("n").to_pylist() == [x for batch in batches for x in batch["n"]]


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_no_batches_are_an_empty_file(tmp_path, ending):
    write_columns(tmp_path / f"a.{ending}", [])
    read = (tmp_path / f"a.{ending}").read_bytes()
    assert read == {"jsonl": b"", "csv": b"", "json": b"[]\n"}.get(ending, read)


def test_broken_off_columns_leave_the_file_that_was_there(tmp_path):
    def batches():
        yield {"a": ["x"]}
        raise InputError("no more")

    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(InputError):
        write_columns(path, batches())
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.csv", "before")]


def test_csv_cells_are_harmless(tmp_path):
    texts = ["=1+1", "fine", "\x01", "-1", "+cat"]
    write_columns(tmp_path / "a.csv", [{"a": texts, "b": ["x"] * 5}])
    rows = list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row[0] for row in rows[1:]] == [harmless(text) for text in texts]


def battles(n: int) -> list[dict[str, object]]:
    return [
        {
            "question_id": f"{k:032x}",
            "model_a": f"m{k % 5}",
            "model_b": f"m{5 + k % 5}",
            "winner": ("model_a", "model_b", "tie", "tie (bothbad)")[k % 4],
            "judge": f"arena_user_{k % 11}",
            "tstamp": 1.7e9 + k / 2,
        }
        for k in range(n)
    ]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_postgresql_takes_and_gives_what_sqlite_does(postgres, tmp_path, ending):
    """The same file into both databases comes out of both as the same bytes."""
    source = write(tmp_path / "battles.jsonl", battles(1500))
    written = []
    for name, url in (("lite", None), ("server", postgres.url)):
        with open_store(tmp_path / name, url) as opened:
            done = import_files("lmarena", [source], opened)
            assert done.n_new["comparison"] == 1500
            assert import_files("lmarena", [source], opened).n_new["comparison"] == 0
            path = tmp_path / f"{name}.{ending}"
            assert export_votes("votes", path, opened, kinds=("human",)).n_rows == 1500
            written.append((path.read_bytes(), [asdict(vote) for vote in opened.comparisons()]))
    assert written[0] == written[1]


def test_postgresql_keeps_nothing_of_a_file_with_a_bad_line(postgres, tmp_path):
    rows = battles(700)
    rows[-1]["winner"] = "nobody"
    with open_store(tmp_path, postgres.url) as opened:
        with pytest.raises(InputError, match=r"line 700"):
            import_files("lmarena", [write(tmp_path / "b.jsonl", rows)], opened)
        assert list(opened.comparisons()) == []
        assert opened.sources() == []


def test_postgresql_that_goes_away_is_told_and_leaves_no_file(postgres, tmp_path):
    with open_store(tmp_path, postgres.url) as opened:
        import_files("lmarena", [write(tmp_path / "b.jsonl", battles(700))], opened)
        postgres.stop()
        with pytest.raises(WorkspaceError, match="workspace postgresql"):
            export_votes("votes", tmp_path / "v.csv", opened, kinds=("human",))
        assert not [path for path in tmp_path.iterdir() if path.suffix == ".csv"]


def test_items_made_ahead_come_in_order_and_errors_at_their_place():
    def items():
        yield from range(3)
        raise ValueError("after three")

    ahead = made_ahead(items())
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="after three"):
        next(ahead)


def test_stopping_early_closes_what_was_begun():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    ahead = made_ahead(items())
    assert next(ahead) == 1
    ahead.close()
    assert closed.is_set()


def battle(number: int, *, turns: int = 1) -> dict[str, object]:
    said = [{"role": "user", "content": f"Question {number}?"}]
    sides = {
        f"conversation_{side}": [
            message
            for turn in range(turns)
            for message in (*said, {"role": "assistant", "content": f"{side}{number}{turn}"})
        ]
        for side in "ab"
    }
    names = {"model_a": f"m{number % 3}", "model_b": "other", "winner": "tie"}
    return {"question_id": f"{number:032x}", **names, **sides}


def answers_match(store) -> bool:
    pairs = [(a.example_id, a.fingerprint) for a in store.generations()]
    one_by_one = {
        (example_id, fingerprint): tuple(turn.text for turn in chain)
        for fingerprint in {model for _, model in pairs}
        for example_id, chain in store.conversations(
            fingerprint, [example for example, model in pairs if model == fingerprint]
        ).items()
    }
    found = store.answer_chains(sorted({*pairs, ("none", "such")}))
    return bool(found) and {key: chains[-1].texts for key, chains in found.items()} == one_by_one


def test_answers_of_pairs_are_those_found_one_by_one(tmp_path):
    battles = [battle(number, turns=1 + number % 2) for number in range(600)]
    with fresh_store(tmp_path / "out") as store:
        import_files("lmarena", [write(tmp_path / "b.jsonl", battles)], store)
        assert answers_match(store)


def test_postgresql_finds_answers_of_pairs(postgres, tmp_path):
    with open_store(tmp_path, postgres.url) as store:
        import_files("lmarena", [write(tmp_path / "b.jsonl", [battle(1, turns=2)])], store)
        assert answers_match(store)


def test_answers_of_pairs_are_found_without_a_look_at_others(tmp_path):
    with fresh_store(tmp_path / "out") as store, store.engine.connect() as connection:
        query = f"EXPLAIN QUERY PLAN {_turns_query(3, mark='?')}"
        plan = [row.detail for row in connection.exec_driver_sql(query, ("x",) * 6)]
    assert "SCAN generation" not in plan
    assert any("generation_by_example (example_id=? AND fingerprint=?)" in x for x in plan)
