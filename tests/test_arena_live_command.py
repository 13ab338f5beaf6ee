"""``parity arena`` with live battles, as a process of its own."""

import json
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

from arena.cli import _models_behind
from evalcore.errors import ModelError
from evalcore.records import ModelSpec

PATIENCE_S = 120.0


@pytest.mark.slow
def test_command_prints_one_link_serves_battles_and_ends_when_interrupted(tmp_path):
    models = ["-m", "one=fake:one", "-m", "two=fake:two"]
    command = [sys.executable, "-m", "evalcore", "arena", *models, "--port", "0", "--no-browser"]
    process = subprocess.Popen(
        [*command, "--json", "-w", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        link = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["link"]
        with httpx.Client(base_url=link, headers={"Origin": link.rstrip("/")}) as client:
            assert client.get("/").status_code == 200
            client.post("/api/session", json={})
            battle = wait_for_battle(client)
            vote = {"token": battle["token"], "choice": "tie", "reveal": True}
            names = client.post("/api/vote", json=vote).json()["reveal"]["names"]
        assert battle["turns"][0]["answers"] == ["Echo me.", "Echo me."]
        assert sorted(names) == ["one", "two"]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) in (0, 130)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for_battle(client: httpx.Client) -> dict:
    """Ask until the models are loaded and have answered."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = client.post("/api/battle", json={"prompt": "Echo me."}).json()
        if found.get("battle", {}).get("status") == "ready":
            return found["battle"]
        time.sleep(0.1)
    raise AssertionError(found)


def test_model_that_can_not_be_loaded_ends_the_service_with_its_error():
    live = SimpleNamespace(models=[ModelSpec(name="m", backend="hf", weights="/nowhere")])

    def serve() -> None:
        with _models_behind(live) as load:
            load()
            threading.Event().wait(PATIENCE_S)

    with pytest.raises(ModelError, match="/nowhere"):
        serve()


def test_service_that_ends_before_it_was_ready_loads_nothing():
    with _models_behind(SimpleNamespace(models=None)):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least two models (-m); got 0"),
        (["-m", "fake:a"], "at least two models (-m); got 1"),
        (["-m", "fake:a", "-m", "fake:b", "-p", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--demo", "--moderation", "nowhere.txt"], "moderation file nowhere.txt can't be read"),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(parity, tmp_path, arguments, message):
    code, out, err = parity("arena", *arguments, "-w", tmp_path)
    assert (code, out) == (2, "")
    assert message in err
