import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from evalcore.errors import WorkspaceError
from evalcore.records import ModelSpec
from evalcore.store import open_store
from leaderboards.cli import leaderboard

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def workspace(tmp_path: Path, add_results) -> Path:
    with open_store(tmp_path / "out") as store:
        for name, share in (("good", 70), ("poor", 10)):
            spec = ModelSpec(name=name, backend="fake", weights=name)
            for task in ("sums", "lists"):
                add_results(store, spec, task, [1.0] * share + [0.0] * (100 - share))
    return tmp_path / "out"


def run(*arguments: str):
    app = typer.Typer()
    app.command()(leaderboard)
    return CliRunner().invoke(app, list(arguments))


def test_command_prints_the_table(workspace):
    done = run("-w", str(workspace), "-t", "sums")
    assert done.stdout.startswith("good leads with 0.70")
    assert "lists" not in done.stdout


def test_command_gives_json_with_fingerprints_and_pairs(workspace):
    told = json.loads(run("-w", str(workspace), "--json").stdout)["leaderboard"]
    first, second = told["standings"]
    assert (first["model"]["name"], first["rank"]) == ("good", 1)
    (pair,) = told["pairs"]
    assert {pair["model_a"], pair["model_b"]} == {first["fingerprint"], second["fingerprint"]}


def test_command_on_an_empty_workspace_says_what_to_run(tmp_path):
    done = run("-w", str(tmp_path / "out"))
    assert isinstance(done.exception, WorkspaceError)
    assert "parity eval" in str(done.exception)


def test_command_syncs_into_the_workspace_and_says_how_to_look(workspace, empty_mlflow):
    shutil.copy(empty_mlflow, workspace / "mlflow.db")
    done = run("-w", str(workspace), "--sync", "--board", "nightly")
    assert f"mlflow ui --backend-store-uri sqlite:///{workspace}/mlflow.db" in done.stdout
    assert "experiment parity/nightly: 6 runs written" in done.stdout
    assert len(list((workspace / "mlartifacts").rglob("samples.parquet"))) == 4


def test_command_modules_load_nothing_heavy():
    code = (
        "import sys, leaderboards.cli, reports.cli\n"
        "print([m for m in ('pandas', 'mlflow', 'jinja2', 'numpy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_leaderboard_of_scores_loads_no_pandas(tmp_path):
    script = (
        "import pathlib, sys\n"
        "from evalcore.store import open_store\n"
        "from leaderboards.standings import standings\n"
        f"with open_store(pathlib.Path({str(tmp_path)!r})) as store:\n"
        "    store.votes()\n"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
