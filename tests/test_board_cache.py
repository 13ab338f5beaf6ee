"""What is kept for quick reading never differs from the rows that it is made of."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from evalcore.codec import jsonable
from evalcore.errors import VotesError, WorkspaceError
from evalcore.records import Comparison, ModelSpec, Score
from evalcore.store import Store, ballots, open_store, schema


@pytest.fixture
def store(tmp_path: Path, monkeypatch) -> Iterator[Store]:
    monkeypatch.setattr(ballots, "_KEPT_FROM", 1)
    with open_store(tmp_path) as store:
        yield store


def vote(number: int, **given) -> Comparison:
    return Comparison(
        **{
            "id": f"v{number}",
            "example_id": f"e{number % 5}",
            "model_a": "a",
            "model_b": "bc"[number % 2],
            "winner": ("model_a", "model_b", "tie", "both_bad")[number % 4],
            "rater": f"r{number % 3}",
            "rater_kind": "human",
            "swapped": number % 2 == 0,
            "created_utc": f"2026-01-01T00:00:{number % 60:02d}Z",
            **given,
        }
    )


def rows(store: Store) -> list[tuple]:
    """Votes as the columns have them, in a comparable form."""
    votes = store.votes(kinds=("human", "judge", "rule", "simulated"))
    if votes is None:
        return []
    return sorted(
        (
            votes.example.names[votes.example.codes[k]],
            votes.models[votes.model_a[k]],
            votes.models[votes.model_b[k]],
            int(votes.winner[k]),
            votes.rater.names[votes.rater.codes[k]],
            int(votes.swapped[k]),
            float(votes.created_s[k]),
        )
        for k in range(len(votes))
    )


def expected(store: Store) -> list[tuple]:
    from evalcore.votes import Votes

    told = list(store.comparisons(kinds=("human", "judge", "rule", "simulated")))
    winners = {"model_a": 0, "model_b": 1, "tie": 2, "both_bad": 3}
    times = Votes.from_comparisons(told).created_s
    return sorted(
        (c.example_id, c.model_a, c.model_b, winners[c.winner], c.rater, int(c.swapped), time)
        for c, time in zip(told, times.tolist(), strict=True)
    )


def is_kept(store: Store) -> bool:
    with store.engine.connect() as connection:
        return bool(connection.scalar(sa.text("SELECT count(*) FROM vote_cache")))


def test_columns_are_the_rows_before_and_after_they_are_kept(store):
    store.add_comparisons([vote(k) for k in range(20)])
    assert rows(store) == expected(store)
    assert is_kept(store)
    assert rows(store) == expected(store)
    store.add_comparisons([vote(k) for k in range(15, 40)])
    assert rows(store) == expected(store)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM comparison WHERE id = 'v7'",
        "DELETE FROM comparison WHERE id = 'v19'",
        "UPDATE comparison SET winner = 'tie' WHERE id = 'v4'",
        "UPDATE comparison SET rater = 'somebody' WHERE rater = 'r1'",
        "DELETE FROM comparison WHERE id < 'v15'; VACUUM",
    ],
)
def test_columns_follow_what_is_changed_and_deleted(store, change):
    store.add_comparisons([vote(k) for k in range(20)])
    rows(store)
    for statement in change.split(";"):
        with store.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.connection.driver_connection.executescript(statement)
    assert rows(store) == expected(store)
    store.add_comparisons([vote(k) for k in range(100, 110)])
    assert rows(store) == expected(store)


def test_vote_taken_back_and_cast_again_is_seen(store):
    store.add_comparisons([vote(k) for k in range(20)])
    rows(store)
    with store.engine.begin() as connection:
        connection.execute(schema.comparison.delete().where(schema.comparison.c.id == "v19"))
    store.add_comparisons([vote(19, winner="both_bad")])
    assert rows(store) == expected(store)


def test_row_changed_while_columns_are_read_is_not_kept_stale(store, monkeypatch):
    store.add_comparisons([vote(k) for k in range(20)])
    keep = Store._keep_votes

    def slow(self, *arguments, **settings):
        with self.engine.begin() as connection:
            connection.execute(sa.text("UPDATE comparison SET winner = 'tie'"))
        keep(self, *arguments, **settings)

    monkeypatch.setattr(Store, "_keep_votes", slow)
    rows(store)
    monkeypatch.undo()
    assert not is_kept(store)
    assert rows(store) == expected(store)


def test_winner_that_is_none_is_refused(store):
    store.add_comparisons([vote(1, winner="model_c")])
    with pytest.raises(VotesError, match=r"winner must be one of .*; got 'model_c'"):
        store.votes()


def score(place: int, value: float) -> Score:
    return Score(example_id=f"e{place}", fingerprint="f", task_hash="t", metric="m", value=value)


class Examples:
    name, hash, settings = "task", "t", {}

    def __init__(self) -> None:
        from evalcore.records import Example, Message

        self.examples = [
            Example(id=f"e{k}", messages=(Message(role="user", content="?"),)) for k in range(3)
        ]


@pytest.mark.parametrize(
    "change", ["UPDATE score SET value = 9 WHERE example_id = 'e0'", "DELETE FROM score"]
)
def test_table_of_scores_follows_what_is_added_changed_and_deleted(store, change):
    store.add_task(Examples())
    store.add_scores([score(0, 0.5)])
    assert store.score_table("t", "m").values.tolist() == [
        [0.5, pytest.approx(np.nan, nan_ok=True), pytest.approx(np.nan, nan_ok=True)]
    ]
    store.add_scores([score(1, 0.25), score(2, np.nan)])
    for _ in range(2):
        assert store.score_table("t", "m").values[0, :2].tolist() == [0.5, 0.25]
    with store.engine.begin() as connection:
        connection.execute(sa.text(change))
    found = store.score_table("t", "m", ["f"]).values[0]
    assert (found[0] == 9) if "UPDATE" in change else np.isnan(found).all()


def test_what_did_not_change_is_not_made_again(store):
    store.add_task(Examples())
    store.add_scores([score(0, 0.5)])
    store.add_comparisons([vote(k) for k in range(20)])
    assert store.votes() is store.votes()
    with pytest.raises(ValueError, match="read-only"):
        store.score_table("t", "m").values[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        store.votes().winner[0] = 1


def test_run_saved_again_is_read_anew(store, add_results):
    run = add_results(store, ModelSpec(name="a", backend="hf", weights="a"), "sums", [1.0, 0.0])
    assert store.runs()[0] is store.runs()[0]
    store.save_run(replace(run, n_examples=17))
    assert [found.n_examples for found in store.runs()] == [17]


def n_pieces(store: Store) -> int:
    with store.engine.connect() as connection:
        return connection.scalar(sa.text("SELECT count(*) FROM score_cache"))


def from_rows(store: Store) -> list[list[float | None]]:
    """Values and weights by example, straight from the rows."""
    told = {row.example_id: (row.value, row.weight) for row in store.scores("f", "t")}
    return [[None if np.isnan(v) else v, w] for v, w in told.values()]


def from_pieces(store: Store) -> list[list[float | None]]:
    table = store.score_table("t", "m", ["f"])
    pairs = zip(table.values[0], table.weights[0], strict=True)
    return [[None if np.isnan(v) else v, w] for v, w in pairs if w]


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO score VALUES ('t', 'm', 'f', 'e2', 0.125, 3.0)",
        "UPDATE score SET value = NULL WHERE example_id = 'e1'",
        "UPDATE score SET example_id = 'e2' WHERE example_id = 'e1'",
        "DELETE FROM score WHERE example_id = 'e0'",
        "UPDATE score SET fingerprint = 'other'",
    ],
)
def test_piece_is_dropped_by_what_another_program_changes(store, change):
    store.add_task(Examples())
    store.add_scores([score(0, 0.5), score(1, 0.25)])
    assert from_pieces(store) == from_rows(store)
    assert n_pieces(store) == 1
    with sqlite3.connect(Path(store.where) / "parity.sqlite") as other:
        other.execute(change)
    other.close()
    assert n_pieces(store) == 0
    assert from_pieces(store) == from_rows(store)


@pytest.mark.parametrize("values", [[1.0, 0.0, np.nan], [0.5, 1.0, np.nan], [1.0, 0.25]])
def test_table_joins_pieces_of_few_and_of_many_bytes(store, values):
    store.add_task(Examples())
    store.add_scores([replace(score(k, value), fingerprint="g") for k, value in enumerate(values)])
    store.add_scores([score(0, 1.0), score(1, np.nan)])
    made, kept = (store.score_table("t", "m", ["g", "f"]) for _ in range(2))
    padded = [*values, np.nan][:3]
    for table in (made, kept):
        np.testing.assert_array_equal(table.values, [padded, [1.0, np.nan, np.nan]])
        np.testing.assert_array_equal(
            table.weights, [[1.0, 1.0, float(len(values) > 2)], [1.0, 1.0, 0.0]]
        )


def test_pieces_of_other_models_stay(store):
    store.add_task(Examples())
    store.add_scores([score(0, 0.5), replace(score(0, 0.75), fingerprint="g")])
    store.score_table("t", "m")
    store.add_scores([replace(score(1, 0.0), fingerprint="g")])
    assert n_pieces(store) == 1
    assert store.score_table("t", "m").values[:, 0].tolist() == [0.5, 0.75]


def test_scores_are_read_where_nothing_can_be_kept(store, monkeypatch):
    @contextmanager
    def refused(self, table):
        raise WorkspaceError("readonly")
        yield

    store.add_task(Examples())
    store.add_scores([score(0, 0.5)])
    monkeypatch.setattr(Store, "_writing_alone", refused)
    assert from_pieces(store) == [[0.5, 1.0]]
    assert n_pieces(store) == 0


def test_scores_that_came_before_their_task_are_seen(store):
    store.add_scores([score(0, 0.5)])
    assert store.score_table("t", "m").values.shape == (1, 0)
    store.add_task(Examples())
    assert from_pieces(store) == [[0.5, 1.0]]


def heads(store: Store) -> list[str | None]:
    with store.engine.connect() as connection:
        return list(connection.scalars(sa.select(schema.eval_run.c.head)))


def test_head_of_a_run_says_what_its_record_says(store, add_results):
    spec = ModelSpec(name="a", backend="hf", weights="a")
    run = add_results(store, spec, "sums", [1.0, np.nan, 0.0])
    (read,) = store.runs()
    assert read == run
    assert read.estimates["exact_match"] == run.estimates["exact_match"]
    assert jsonable(read) == jsonable(run)
    assert "exact_match" in repr(read.estimates)


@pytest.mark.parametrize("opened_anew", [True, False])
def test_record_changed_without_its_head_is_believed(store, add_results, opened_anew):
    run = add_results(store, ModelSpec(name="a", backend="hf", weights="a"), "sums", [1.0, 0.0])
    store.runs()
    with sqlite3.connect(Path(store.where) / "parity.sqlite") as other:
        other.execute("UPDATE eval_run SET record = json_set(record, '$.n_examples', 17)")
    other.close()
    assert heads(store) == [None]
    reader = open_store(Path(store.where)) if opened_anew else store
    assert [found.n_examples for found in reader.runs()] == [17]
    assert None not in heads(store)
    assert [found.n_examples for found in reader.runs()] == [17]
    assert run.n_examples == 2
    reader.close()


def test_run_of_an_older_workspace_is_given_a_head(store, add_results):
    run = add_results(store, ModelSpec(name="a", backend="hf", weights="a"), "sums", [1.0, 0.0])
    with store.engine.begin() as connection:
        connection.execute(schema.eval_run.update().values(head=None))
    assert store.runs() == [run]
    assert None not in heads(store)
    assert store.runs() == [run]


def test_postgresql_keeps_pieces_and_heads_as_true(postgres, add_results, tmp_path):
    with open_store(tmp_path, postgres.url) as store:
        store.add_task(Examples())
        store.add_scores([score(0, 0.5), score(1, 0.25)])
        assert from_pieces(store) == from_rows(store)
        for change in (
            "INSERT INTO score VALUES ('t', 'm', 'f', 'e2', 0.125, 3.0)",
            "UPDATE score SET value = 9 WHERE example_id = 'e1'",
            "DELETE FROM score WHERE example_id = 'e0'",
        ):
            assert n_pieces(store) == 1
            with store.engine.begin() as connection:
                connection.execute(sa.text(change))
            assert n_pieces(store) == 0
            assert from_pieces(store) == from_rows(store)
        run = add_results(store, ModelSpec(name="a", backend="hf", weights="a"), "sums", [1.0])
        assert store.runs() == [run]
        with store.engine.begin() as connection:
            connection.execute(
                sa.text(
                    "UPDATE eval_run SET record = jsonb_set(record::jsonb, '{n_examples}','17')"
                )
            )
        assert heads(store) == [None]
        assert [found.n_examples for found in store.runs()] == [17]
        assert None not in heads(store)
