"""The commands below ``parity study``."""

import json
from pathlib import Path

import pytest

from arena.identity import Identity
from arena.keys import Keys
from arena.settings import ArenaSettings, load_secret
from arena.studies.registry import register_study
from evalcore.store import open_store


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with two studies without votes: one by link, one open."""
    line = {"prompt": "?", "answers": {"koala": "yes", "alpaca": "no"}}
    (tmp_path / "answers.jsonl").write_text(json.dumps(line))
    with open_store(tmp_path / "out") as store:
        for name, join in (("invited", "link"), ("free", "open")):
            settings = {"name": name, "models": ["koala", "alpaca"], "answers": "answers.jsonl"}
            path = tmp_path / f"{name}.yaml"
            path.write_text(json.dumps(settings | {"join": join}))
            register_study(path, store)
    return tmp_path / "out"


def test_links_differ_sign_in_and_stay_the_same(parity, workspace: Path):
    first = parity("study", "links", "invited", "-n", 3, "-w", workspace)[1].splitlines()
    assert len(set(first)) == 3
    secret = load_secret(workspace)
    identity = Identity(Keys(secret), ArenaSettings(secret=secret))
    links = [line.partition("?link=")[2] for line in first]
    accounts = [identity.account_of_link(link, "invited") for link in links]
    assert accounts == [f"link:invited:{n}" for n in (1, 2, 3)]
    assert identity.account_of_link(links[0], "free") is None


def test_report_is_printed_and_written(parity, workspace: Path, tmp_path: Path):
    code, out, _ = parity("study", "report", "free", "-w", workspace)
    assert (code, "not enough votes" in out) == (0, True)
    page = tmp_path / "report.html"
    code, out, _ = parity("study", "report", "free", "-o", page, "-w", workspace, "--json")
    assert json.loads(out)["n_items"] == 1
    assert page.read_text().startswith("<!doctype html>")


def test_locked_study_is_verified_against_the_workspace(parity, workspace: Path, tmp_path: Path):
    folder = tmp_path / "export"
    code, out, _ = parity("study", "lock", "free", "-o", folder, "-w", workspace, "--json")
    locked = json.loads(out)["export_hash"]
    assert code == 0
    given = ("study", "verify", folder, "--study", "free", "-w", workspace, "--json")
    assert json.loads(parity(*given)[1])["export_hash"] == locked
    code, _, error = parity("study", "verify", folder, "--study", "invited", "-w", workspace)
    assert (code, "is not that of study 'invited'" in error) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("links", "free"), "links need join: link"),
        (("report", "nothing"), "study must be one of free, invited; got 'nothing'"),
        (("report", "free", "-o", "x.txt"), "--output must end in .html or .md"),
        (("lock", "nothing", "-o", "new"), "study must be one of"),
        (("verify", "."), "no manifest of an export"),
    ],
)
def test_mistakes_are_told_in_one_line(parity, workspace: Path, monkeypatch, arguments, said: str):
    monkeypatch.chdir(workspace.parent)
    code, _, error = parity("study", *arguments, "-w", workspace)
    assert code == 2
    assert said in error
    assert len(error.splitlines()) == 1
