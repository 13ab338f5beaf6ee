"""Judging with ``--executor ray``: all paid calls keep to one rate and one budget."""

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from runners.endpoint.stub import StubReply, StubScript, StubServer, serving

MODELS = ("-m", "fake:a", "-m", "fake:b")
N_CALLS = 24
"""Of each judge: prompts, to which both models answer the same."""
RPM = 600


@pytest.fixture
def server():
    with serving(StubScript(answer=lambda _prompt: StubReply(text="Rating: [[7]]"))) as running:
        yield running


@pytest.fixture
def asked(parity, server: StubServer, tmp_path: Path):
    """Give a command that judges what two models answer, the same, by two judges of a server."""
    prompts = [{"id": str(n), "prompt": f"Prompt {n}."} for n in range(N_CALLS)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    given = [*MODELS, "-p", str(tmp_path / "p.jsonl"), "-w", str(tmp_path / "out")]
    assert parity("generate", *given)[0] == 0

    def command(settings: str) -> list[str]:
        judges = [f"j{n}=openai:judge{n}@{server.url}?{settings}" for n in (1, 2)]
        named = [part for judge in judges for part in ("-j", judge)]
        how = ["--judge-prompt", "single", "--executor", "ray?workers=2", "--json"]
        return ["judge", *given, *named, *how]

    return command


@pytest.mark.slow
def test_a_rate_is_kept_beside_a_judge_on_two_workers(
    asked, parity, server: StubServer, tmp_path: Path
):
    began = time.monotonic()
    code, printed, _ = parity(*asked(f"rpm={RPM}&concurrency=16"), "-j", "local=fake:judge")
    took_s = time.monotonic() - began
    missing = {j["judge"]: j["tally"]["n_missing"] for j in json.loads(printed)["result"]["judges"]}
    assert code == 3  # what the fake judge says is no rating
    assert server.stats.n_calls == 2 * N_CALLS
    assert missing == {"j1": 0, "j2": 0, "local": 0}
    assert list((tmp_path / "out" / "logs").glob("worker-*.log"))
    assert took_s >= 2 * (N_CALLS - 1) * 60 / RPM


def test_one_budget_is_kept_by_all_judges_together(asked, parity, server: StubServer):
    command = asked("price=0/1000&retries=0&concurrency=4")
    code, printed, _ = parity(*command, "--max-usd", "1.1")
    spent = sum(judge["spent_usd"] for judge in json.loads(printed)["result"]["judges"])
    assert code == 3
    assert 0 < spent <= 1.1
    assert 0 < server.stats.n_answered < 2 * N_CALLS


def test_a_killed_driver_asks_for_nothing_again_that_is_stored(
    asked, parity, server: StubServer, tmp_path: Path
):
    command = asked(f"rpm={RPM}&concurrency=4")
    with subprocess.Popen(
        [sys.executable, "-m", "evalcore", *command], stdout=subprocess.DEVNULL
    ) as running:
        while server.stats.n_calls < N_CALLS // 2 and running.poll() is None:
            time.sleep(0.01)
        running.kill()
    n_stored, n_before = n_judged(tmp_path / "out"), server.stats.n_calls
    assert 0 < n_stored < 2 * N_CALLS
    assert parity(*command)[0] == 0
    assert server.stats.n_calls - n_before == 2 * N_CALLS - n_stored


def n_judged(workspace: Path) -> int:
    """Count the replies of judges; the two models have answered each prompt before."""
    with closing(sqlite3.connect(workspace / "parity.sqlite")) as connection:
        return connection.execute("SELECT COUNT(*) FROM generation").fetchone()[0] - 2 * N_CALLS
