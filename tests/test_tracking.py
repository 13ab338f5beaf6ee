import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from evalcore.errors import InputError, ParityError
from evalcore.records import ModelSpec
from evalcore.store import Store, open_store
from leaderboards.mirror import metric_keys
from leaderboards.standings import standings
from leaderboards.tracking import MlflowClient, SyncResult, sync
from leaderboards.variants import slug

# MLflow's own use of SQLAlchemy 2.1; tests of our code keep every other warning an error.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

GOOD = [1.0] * 70 + [0.0] * 30
POOR = [1.0] * 10 + [0.0] * 90


@dataclass(frozen=True)
class Mirror:
    store: Store
    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def sync(self, **chosen) -> SyncResult:
        board = standings(self.store, **chosen)
        return sync(board, self.store, tracking_uri=self.uri, artifacts=self.folder / "files")

    def runs(self, kind: str):
        experiment = self.client.get_experiment_by_name("parity/main").experiment_id
        return self.client.search_runs([experiment], f"tags.`parity.kind` = '{kind}'")


@pytest.fixture
def mirror(tmp_path: Path, empty_mlflow, add_results) -> Iterator[Mirror]:
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    with open_store(tmp_path / "out") as store:
        for name, values in (("a", GOOD), ("b", POOR)):
            for task in ("sums", "lists"):
                add_results(store, model(name), task, values)
        yield Mirror(store, tmp_path)


def model(name: str) -> ModelSpec:
    return ModelSpec(name=name, backend="fake", weights=name)


def test_sync_writes_a_row_for_each_model_and_a_child_for_each_task(mirror):
    result = mirror.sync()
    rows, tasks = mirror.runs("leaderboard"), mirror.runs("task")
    assert (result.n_created, result.n_unchanged, result.n_retired) == (6, 0, 0)
    assert [row.info.run_name for row in rows] == ["a", "b"]
    assert {task.data.tags["mlflow.parentRunId"] for task in tasks} == {
        row.info.run_id for row in rows
    }


def test_second_sync_creates_nothing(mirror):
    first = mirror.sync()
    again = mirror.sync()
    assert (again.n_created, again.n_unchanged) == (0, first.n_created)
    assert len(mirror.client.search_logged_models([again.experiment_id])) == 2


def test_row_holds_rating_interval_and_ranks(mirror):
    mirror.sync()
    metrics = mirror.runs("leaderboard")[0].data.metrics
    rating = standings(mirror.store).standings[0].rating
    assert (metrics["rating"], metrics["rating_lo"]) == (rating.value, rating.low)
    assert (metrics["rank"], metrics["rank_lo"], metrics["rank_hi"]) == (1, 1, 1)
    assert metrics["tok_s"] == 300
    assert metrics["sums/exact_match"] == 0.7


def test_task_run_holds_metric_with_its_error_for_dataset_and_model(mirror):
    result = mirror.sync()
    run = next(run for run in mirror.runs("task") if run.info.run_name == "a · sums")
    assert run.data.metrics["sums/exact_match"] == 0.7
    assert run.data.metrics["sums/exact_match_stderr"] == pytest.approx(0.0455, abs=0.002)
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "sums"
    logged = mirror.client.search_logged_models([result.experiment_id], "name = 'a'")[0]
    of_model = {metric.key: metric for metric in logged.metrics}
    assert of_model["sums/exact_match"].dataset_digest == dataset.dataset.digest


def test_samples_come_as_parquet_with_prompt_answer_and_scores(mirror):
    mirror.sync()
    run = next(run for run in mirror.runs("task") if run.info.run_name == "a · sums")
    table = pd.read_parquet(mirror.client.download_artifacts(run.info.run_id, "samples.parquet"))
    assert len(table) == 100
    assert table.prompt[0] == "sums question 0?"
    assert (table.answer[0], table.exact_match[0]) == ("answer 0", 1.0)


def test_changed_board_replaces_the_rows_and_keeps_the_results(mirror, add_results):
    mirror.sync()
    for task in ("sums", "lists"):
        add_results(mirror.store, model("c"), task, [0.0, *GOOD[1:]])
    result = mirror.sync()
    assert (result.n_created, result.n_unchanged, result.n_retired) == (5, 4, 2)
    rows = mirror.runs("leaderboard")
    assert [row.info.run_name for row in rows] == ["a", "c", "b"]
    parents = {run.data.tags["mlflow.parentRunId"] for run in mirror.runs("task")}
    assert parents == {row.info.run_id for row in rows}


def test_sync_that_was_cut_short_is_finished_by_the_next(mirror):
    mirror.sync()
    cut = mirror.runs("task")[0]
    mirror.client.update_run(cut.info.run_id, status="RUNNING")
    result = mirror.sync()
    assert (result.n_created, result.n_retired) == (1, 1)
    assert len(mirror.runs("task")) == 4


def test_runs_of_other_kinds_in_the_experiment_are_left_alone(mirror):
    result = mirror.sync()
    mine = mirror.client.create_run(result.experiment_id, tags={"parity.kind": "study"})
    mirror.sync(tasks=["sums"])
    assert mirror.client.get_run(mine.info.run_id).info.lifecycle_stage == "active"


def test_experiment_says_what_it_is_in_words(mirror):
    mirror.sync()
    tags = mirror.client.get_experiment_by_name("parity/main").tags
    assert tags["mlflow.note.content"].startswith("a leads with")
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.experiment.primaryMetric.name"] == "rating"


def test_nan_and_infinite_numbers_are_left_out(mirror, add_results):
    add_results(mirror.store, model("a"), "odd", [math.nan, math.nan])
    add_results(mirror.store, model("b"), "odd", [2.5], metric="loss", higher_is_better=False)
    mirror.sync()
    numbers = [value for run in mirror.runs("task") for value in run.data.metrics.values()]
    assert all(math.isfinite(value) and value < 1e300 for value in numbers)


def test_names_that_mlflow_forbids_are_translated(mirror, add_results):
    odd = model("org/name: 7.5% \"quoted\" 'x'")
    add_results(mirror.store, odd, "sums", GOOD, metric="acc,none@5 (+)")
    mirror.sync(models=[odd.name])
    run = mirror.runs("task")[0]
    assert run.data.metrics["sums/acc.none_5 ___"] == 0.7
    assert slug(odd.name) == "org-name- 7-5- -quoted- -x"


def test_metric_keys_stay_distinct_and_within_mlflows_limits():
    names = ["a+b", "a@b", "../x", "a//b", "y" * 300, "y" * 301, "ärger"]
    keys = metric_keys(names)
    assert len(set(keys.values())) == len(names)
    assert all(len(key) <= 250 and ".." not in key.split("/") for key in keys.values())


def test_deleted_experiment_is_refused_in_one_line(mirror):
    result = mirror.sync()
    mirror.client.delete_experiment(result.experiment_id)
    with pytest.raises(ParityError, match="parity/main was deleted in MLflow"):
        mirror.sync()


def test_board_without_a_name_is_refused(mirror):
    board = standings(mirror.store)
    with pytest.raises(InputError, match="board must have a name"):
        sync(board, mirror.store, tracking_uri=mirror.uri, board=" ")


@pytest.mark.parametrize("uri", ["nonsense://x", "sqlite:////proc/x.db"])
def test_unusable_tracking_uri_is_one_line(mirror, uri):
    board = standings(mirror.store)
    with pytest.raises(ParityError, match=rf"^MLflow at {uri}: [^\n]*$"):
        sync(board, mirror.store, tracking_uri=uri)


def test_importing_leaderboards_turns_mlflows_telemetry_off():
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    environment = {key: value for key, value in environment.items() if key not in {"CI"}}
    environment.pop("PYTEST_CURRENT_TEST", None)
    code = (
        "import leaderboards.tracking\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "print(is_telemetry_disabled())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
