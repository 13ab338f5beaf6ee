import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from evalcore.errors import WorkspaceError
from evalcore.protocols import Completion, Loglikelihood
from evalcore.records import Comparison, Efficiency, ModelSpec, SamplingParams, Score
from evalcore.store import Store, open_store, opening
from evalcore.store.opening import DATABASE_NAME
from evalcore.store.schema import SCHEMA_REVISION, metadata
from evalcore.store.store import Answered


@pytest.fixture
def store(tmp_path: Path):
    with open_store(tmp_path) as store:
        yield store


MODEL = ModelSpec(name="one", backend="imported", weights="one")


def make_scores(n: int, value: float = 1.0) -> list[Score]:
    shared = {"fingerprint": "f" * 32, "task_hash": "t" * 32, "metric": "exact_match"}
    return [Score(example_id=f"{i:032x}", value=value, **shared) for i in range(n)]


def make_comparison(name: str, kind: str = "human") -> Comparison:
    return Comparison(
        id=name,
        example_id="e",
        model_a="A",
        model_b="B",
        winner="tie",
        rater="r1",
        rater_kind=kind,
        swapped=False,
        created_utc="2026-01-01T00:00:00Z",
    )


def test_migrations_make_the_tables_of_the_schema(tmp_path: Path):
    open_store(tmp_path).close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / DATABASE_NAME}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_schema_revision_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(Path(opening.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_REVISION


def test_store_opened_twice_keeps_what_is_there(tmp_path: Path):
    with open_store(tmp_path) as store:
        store.add_comparisons([make_comparison("c1")])
    with open_store(tmp_path) as store:
        assert [c.id for c in store.comparisons()] == ["c1"]


def test_store_written_by_newer_version_is_refused(tmp_path: Path):
    open_store(tmp_path).close()
    with sqlite3.connect(tmp_path / DATABASE_NAME) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(WorkspaceError, match=r"newer version.*9999"):
        open_store(tmp_path)


def test_store_on_a_file_that_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / DATABASE_NAME).write_text("not a database, but long enough to be looked at" * 50)
    with pytest.raises(WorkspaceError, match="not a database"):
        open_store(tmp_path)


def test_store_where_a_file_is_in_the_way_is_refused(tmp_path: Path):
    (tmp_path / "out").write_text("")
    with pytest.raises(WorkspaceError, match="out"):
        open_store(tmp_path / "out")


def test_store_url_of_unknown_database_is_refused(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="store URL"):
        open_store(tmp_path, "oracel://x")


def test_what_only_reads_makes_no_file_at_a_url(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="no workspace in sqlite"):
        open_store(tmp_path, f"sqlite:///{tmp_path}/typo.sqlite", create=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scheme", ["postgresql+psycopg://", "postgresql//"])
def test_password_in_a_store_url_is_not_told(tmp_path: Path, scheme: str):
    with pytest.raises(WorkspaceError) as told:
        open_store(tmp_path, f"{scheme}me:hunter2@127.0.0.1:1/votes")
    assert "hunter2" not in str(told.value)
    assert "\n" not in str(told.value)


def test_disk_full_is_one_line_and_keeps_earlier_rows(store: Store, tmp_path: Path):
    store.add_scores(make_scores(10))
    connection = store._engine.raw_connection()
    connection.execute("PRAGMA max_page_count = 70")
    connection.close()
    with pytest.raises(WorkspaceError, match="full"):
        store.add_scores(make_scores(100_000))
    with open_store(tmp_path) as again:
        assert len(again.score_table("t" * 32, "exact_match").fingerprints) == 1


def test_scores_inserted_twice_stay_as_they_were(store: Store):
    store.add_scores(make_scores(3, value=1.0))
    store.add_scores(make_scores(3, value=0.0))
    with store._engine.connect() as connection:
        values = connection.scalars(sa.text("SELECT value FROM score")).all()
    assert values == [1.0, 1.0, 1.0]


def test_unscored_value_comes_back_as_nan(store: Store):
    response = Loglikelihood(logprob=math.nan, is_greedy=False, n_tokens=3)
    item = Answered(example_id="e", request_key="k", response=response)
    store.add_responses("f", [item], task_hash="t", took=Efficiency())
    (found,) = store.responses("f", ["k"]).values()
    assert isinstance(found, Loglikelihood)
    assert math.isnan(found.logprob)


def test_responses_come_back_as_stored(store: Store):
    completion = Completion(
        text="4 €", finish_reason="stop", prompt_tokens=5, completion_tokens=1, duration_s=0.5
    )
    loglikelihood = Loglikelihood(logprob=-1.25, is_greedy=True, n_tokens=2, n_truncated=1)
    params = SamplingParams(stop=("\n",))
    stored = [
        Answered(example_id="e", request_key="g", response=completion, params=params),
        Answered(example_id="e", request_key="l", response=loglikelihood),
    ]
    store.add_responses("f", stored, task_hash="t", took=Efficiency(decode_tokens=1))
    assert store.responses("f", ["g", "l", "x"]) == {"g": completion, "l": loglikelihood}
    (generation,) = store.generations()
    assert (generation.text, generation.params) == ("4 €", params)


def test_efficiency_sums_work_and_takes_the_highest_peak(store: Store):
    for peak in (7, 5):
        took = Efficiency(prefill_tokens=10, prefill_s=0.5, peak_memory_bytes=peak)
        store.add_responses("f", [], task_hash="t", took=took)
    expected = Efficiency(prefill_tokens=20, prefill_s=1.0, peak_memory_bytes=7)
    assert store.efficiency("f", "t") == expected


def test_work_that_another_process_has_stored_is_not_counted_again(store: Store):
    def batch(*keys: str) -> tuple[list[Answered], Efficiency]:
        found = Loglikelihood(logprob=-1.0, is_greedy=True, n_tokens=1)
        answered = [Answered(example_id="e", request_key=key, response=found) for key in keys]
        return answered, Efficiency(prefill_tokens=10)

    store.add_batches("f", [batch("b", "a")], task_hash="t")
    store.add_batches("f", [batch("a", "b"), batch("c", "a")], task_hash="t")
    assert store.answered("f", ["a", "b", "c", "d"]) == {"a", "b", "c"}
    assert store.efficiency("f", "t").prefill_tokens == 20


def test_simulated_comparisons_are_left_out_unless_asked_for(store: Store):
    store.add_comparisons([make_comparison("c1"), make_comparison("c2", kind="simulated")])
    assert [c.id for c in store.comparisons()] == ["c1"]
    assert [c.id for c in store.comparisons(kinds=["simulated"])] == ["c2"]


def test_models_are_found_by_fingerprint(store: Store):
    spec = ModelSpec(name="m", backend="fake", weights="w")
    store.add_model(spec)
    assert store.models() == {spec.fingerprint: spec}


def test_answers_are_those_of_one_model_to_the_examples_asked_for(store: Store, add_results):
    for name in "ab":
        spec = ModelSpec(name=name, backend="fake", weights=name)
        answers = [f"{name} says {place}" for place in range(12)]
        run = add_results(store, spec, "sums", [1.0] * 12, answers=answers)
        add_results(store, spec, "lists", [1.0] * 12)
    asked = [example.id for example in store.examples(run.task_hash)]
    found = {a.example_id: a.text for a in store.answers(asked, fingerprint=spec.fingerprint)}
    assert [found[example_id] for example_id in asked] == answers
    assert len(list(store.answers(asked))) == 24


def test_workspace_that_is_only_read_is_not_made(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="no workspace in"):
        open_store(tmp_path / "out", create=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["out", "50% of it? #1"])
def test_workspace_that_cant_be_written_is_read(tmp_path: Path, monkeypatch, name):
    with open_store(tmp_path / name) as store:
        store.add_model(MODEL)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with open_store(tmp_path / name) as store:
        assert list(store.models()) == [MODEL.fingerprint]
        with pytest.raises(WorkspaceError, match="readonly"):
            store.add_model(replace(MODEL, name="another"))
    assert [path.name for path in (tmp_path / name).iterdir()] == ["parity.sqlite"]


def test_workspace_that_cant_be_written_shows_what_its_writer_wrote_last(tmp_path, monkeypatch):
    with open_store(tmp_path) as writer:
        writer.add_model(MODEL)
        monkeypatch.setattr("os.access", lambda path, mode: False)
        with open_store(tmp_path) as store:
            assert list(store.models()) == [MODEL.fingerprint]
