"""Ratings by votes and studies in MLflow, other writers, other stores, and the plug-in."""

import base64
import os
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evalcore.errors import ParityError
from evalcore.records import Comparison, ModelSpec
from evalcore.store import open_store
from leaderboards.flat import flat_rows, mlflow_name
from leaderboards.request import BoardRequest
from leaderboards.standings import standings
from leaderboards.studied import study_outcomes
from leaderboards.tracking import MlflowClient, sync
from leaderboards.writers import writing

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

GOOD = [1.0] * 70 + [0.0] * 30
POOR = [1.0] * 10 + [0.0] * 90
ROOT = Path(__file__).resolve().parent.parent


class _Refusing(BaseHTTPRequestHandler):
    def _refuse(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="mlflow"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = _refuse

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def unauthorised_stub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def server_with_account(folder: Path) -> Iterator[str]:
    """Serve MLflow's own service, behind a name and a password, from a thread."""
    from mlflow.server import app, handlers
    from werkzeug.serving import make_server

    handlers.initialize_backend_stores(
        f"sqlite:///{folder / 'mlflow.db'}", default_artifact_root=(folder / "served").as_uri()
    )
    known = "Basic " + base64.b64encode(b"admin:secret").decode()

    def guarded(environ, start_response):
        if environ.get("HTTP_AUTHORIZATION") != known:
            start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
            return [b""]
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, guarded, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def model(name: str) -> ModelSpec:
    return ModelSpec(name=name, backend="fake", weights=name)


def votes(n: int) -> list[Comparison]:
    return [
        Comparison(
            id=f"v{k}",
            example_id=f"e{k % 25}",
            model_a=model("ab"[k % 2]).fingerprint,
            model_b=model("c" if k % 3 else "ba"[k % 2]).fingerprint,
            winner=("model_a", "model_b", "model_a", "tie")[k % 4],
            rater=f"r{k % 9}",
            rater_kind="human",
            swapped=False,
            created_utc=f"2026-01-01T00:{k // 60:02d}:{k % 60:02d}Z",
        )
        for k in range(n)
    ]


@pytest.fixture
def workspace(tmp_path, empty_mlflow, add_results):
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    with open_store(tmp_path / "out") as store:
        for name, values in (("a", GOOD), ("b", POOR), ("c", GOOD)):
            add_results(store, model(name), "sums", values)
        store.add_comparisons(votes(300))
        yield store, tmp_path


def synced(store, folder, uri=None, request=None):
    board = standings(store, request)
    uri = uri or f"sqlite:///{folder / 'mlflow.db'}"
    return board, sync(board, store, tracking_uri=uri, artifacts=folder / "files")


def runs(folder, kind, uri=None):
    client = MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("parity/main").experiment_id
    return client, client.search_runs([experiment], f"tags.`parity.kind` = '{kind}'")


def test_rows_have_the_numbers_of_the_flat_table(workspace):
    store, folder = workspace
    board, _ = synced(store, folder, request=BoardRequest(reference="a"))
    by_name = {run.info.run_name: run.data.metrics for run in runs(folder, "leaderboard")[1]}
    for row in flat_rows(board):
        metrics = by_name[row["model"]]
        for name, value in row.items():
            if isinstance(value, int | float) and not name.startswith("sums/exact_match_"):
                assert metrics[mlflow_name(name)] == value


def test_ratings_are_a_run_whose_steps_are_votes(workspace):
    store, folder = workspace
    board, _ = synced(store, folder)
    client, (run,) = runs(folder, "rating")
    history = sorted(client.get_metric_history(run.info.run_id, "rating/a"), key=lambda m: m.step)
    assert history[-1].step == 300
    assert len(history) > 10
    own = board.source("human").rows[model("a").fingerprint].rating
    assert history[-1].value == pytest.approx(own.value)
    assert run.data.metrics["rating_lo/a"] == own.low
    files = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert files == {"leaderboard.json", "leaderboard.csv", "leaderboard.md"}


def test_more_votes_replace_the_ratings_and_nothing_else_of_the_tasks(workspace):
    store, folder = workspace
    synced(store, folder)
    store.add_comparisons(votes(340)[300:])
    _, result = synced(store, folder)
    assert (result.n_created, result.n_unchanged, result.n_retired) == (4, 3, 4)
    assert synced(store, folder)[1].n_created == 0


def test_run_that_somebody_deleted_is_written_again(workspace):
    store, folder = workspace
    synced(store, folder)
    client, found = runs(folder, "task")
    client.delete_run(found[0].info.run_id)
    _, result = synced(store, folder)
    assert (result.n_created, result.n_retired) == (1, 0)


def test_another_writer_is_waited_for_and_a_dead_one_is_not(workspace):
    store, folder = workspace
    synced(store, folder)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("parity/main").experiment_id
    told = pytest.raises(ParityError, match="another process is writing")
    with writing(client, experiment), told, writing(client, experiment, wait_s=0.5):
        pass
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    tag = f"{os.uname().nodename}/{gone.pid}/0/{4e9:.0f}"
    client.set_experiment_tag(experiment, "parity.writer", tag)
    with writing(client, experiment, wait_s=0.5):
        pass
    assert client.get_experiment(experiment).tags["parity.writer"] == ""


def test_writer_that_goes_on_says_so(workspace, monkeypatch):
    store, folder = workspace
    synced(store, folder)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("parity/main").experiment_id
    monkeypatch.setattr("leaderboards.writers._RENEWED_S", 0.05)

    def tag() -> str:
        return client.get_experiment(experiment).tags["parity.writer"]

    with writing(client, experiment):
        name = tag().rpartition("/")[0]
        client.set_experiment_tag(experiment, "parity.writer", f"{name}/0")
        deadline = time.monotonic() + 30
        while tag().endswith("/0") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert abs(float(tag().rpartition("/")[2]) - time.time()) < 60
    assert tag() == ""


def test_study_under_way_shows_no_results_and_hides_its_votes(workspace, running_study):
    store, folder = workspace
    name, example_ids = running_study(store)
    (study,) = study_outcomes(store)
    assert (study.name, study.pairs, study.kappa) == (name, (), None)
    assert store.hidden_examples() == frozenset(example_ids)
    board = standings(store)
    assert board.source("human").n_comparisons < 300
    asked = standings(store, BoardRequest(under_way=True))
    assert asked.source("human").n_comparisons == 300
    assert not any("under way" in text for text in asked.warnings)
    assert any("under way are left out" in text for text in board.warnings)
    synced(store, folder)
    (run,) = runs(folder, "study")[1]
    assert run.data.params["margin"] == "0.05"
    assert not any(key.startswith("win_rate") for key in run.data.metrics)


def test_locked_study_shows_its_win_rates(workspace, running_study):
    store, folder = workspace
    name, _ = running_study(store, status="locked")
    synced(store, folder)
    (run,) = runs(folder, "study")[1]
    assert run.data.tags["parity.study"] == name
    assert any(key.startswith("win_rate/") for key in run.data.metrics)
    assert "kappa" in run.data.metrics


@pytest.fixture
def running_study():
    """Make some of the workspace's votes those of a study."""
    from evalcore.store.arena_schema import battle, study, study_item

    def make(store, *, status="open"):
        settings = {"margin": 0.05, "kind": "pairwise", "models": ["a", "b"], "reveal": False}
        chosen = [item for item in store.comparisons() if item.example_id in ("e1", "e2")]
        now = "2026-01-01T00:00:00Z"
        with store.engine.begin() as connection:
            connection.execute(
                study.insert(),
                [
                    {
                        "name": "s",
                        "study_hash": "h",
                        "settings": settings,
                        "status": status,
                        "created_utc": now,
                    }
                ],
            )
            connection.execute(
                study_item.insert(),
                [
                    {
                        "study": "s",
                        "item": f"i{n}",
                        "position": n,
                        "kind": "main",
                        "answers": [],
                        "example_id": f"e{n}",
                    }
                    for n in (1, 2)
                ],
            )
            connection.execute(
                battle.insert(),
                [
                    {
                        "id": item.id,
                        "token_hash": item.id,
                        "rater": item.rater,
                        "study": "s",
                        "example_id": item.example_id,
                        "models": [],
                        "names": [],
                        "sides": [],
                        "side_seed": 0,
                        "form": {},
                        "rated": True,
                        "status": "voted",
                        "note": "",
                        "flags": {},
                        "timings": {},
                        "typed": False,
                        "forgotten": False,
                        "created_ms": 0,
                        "expires_ms": 0,
                        "created_utc": now,
                    }
                    for item in chosen
                ],
            )
        return "s", ["e1", "e2"]

    return make


def test_file_store_works_where_mlflow_still_permits_it(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store, folder = workspace
    uri = (folder / "mlruns").as_uri()
    _, first = synced(store, folder, uri)
    assert first.n_created == 7
    assert synced(store, folder, uri)[1].n_created == 0


def test_postgresql_holds_the_mirror(workspace, postgres):
    store, folder = workspace
    uri = postgres.url
    assert synced(store, folder, uri)[1].n_created == 7
    assert synced(store, folder, uri)[1].n_created == 0


def test_server_that_asks_for_a_password_is_told_in_one_line(workspace):
    store, folder = workspace
    with unauthorised_stub() as uri, pytest.raises(ParityError, match=r"MLflow at .*401") as told:
        synced(store, folder, uri)
    assert "\n" not in str(told.value)


@pytest.mark.filterwarnings("ignore")  # MLflow's server warns of its own threads and types
def test_server_with_an_account_takes_the_board(workspace, monkeypatch):
    store, folder = workspace
    with server_with_account(folder) as uri:
        with pytest.raises(ParityError, match="MLFLOW_TRACKING_USERNAME"):
            synced(store, folder, uri)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
        assert synced(store, folder, uri)[1].n_created == 7
        assert synced(store, folder, uri)[1].n_created == 0


def test_mlflow_finds_the_plugin_and_opens_a_workspace_by_it(workspace, tmp_path):
    store, folder = workspace
    synced(store, folder)
    shutil.copy(folder / "mlflow.db", Path(store.where) / "mlflow.db")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    info = tmp_path / "path" / "probe-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 0\n")
    lines = [
        line
        for group, entries in declared.items()
        if group.startswith("mlflow.")
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    code = (
        f"import mlflow; mlflow.set_tracking_uri('parity://{store.where}')\n"
        "print([e.name for e in mlflow.search_experiments()])\n"
        "print(type(mlflow.MlflowClient()._get_registry_client().store).__name__)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{info.parent}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "parity/main" in done.stdout
