"""The documents say what is there."""

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from evalcore.__main__ import COMMANDS, GROUPS

ROOT = Path(__file__).resolve().parent.parent
COMMAND_PAGES = ROOT / "docs" / "commands"
PAGES = sorted(path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))


def _help_texts() -> ModuleType:
    place = ROOT / "scripts" / "update_help_texts.py"
    spec = importlib.util.spec_from_file_location("update_help_texts", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HELP_TEXTS = _help_texts()
SHOWN = {
    command: page
    for page in sorted(COMMAND_PAGES.glob("*.md"))
    for command in HELP_TEXTS.shown_commands(page.read_text())
}


@pytest.mark.parametrize("command", SHOWN)
def test_page_shows_the_help_that_the_command_prints(parity, monkeypatch, command: str):
    monkeypatch.setenv("COLUMNS", HELP_TEXTS.WIDTH)
    _, printed, _ = parity(*command.split()[1:], "--help")
    assert f"```text\n{printed.strip()}\n```" in SHOWN[command].read_text(), "run: make help-texts"


def test_every_command_has_a_page_and_a_line_in_the_list():
    below = {f"parity {name} {sub}" for name, (_, subs) in GROUPS.items() for sub in subs}
    names = [*COMMANDS, *GROUPS]
    assert SHOWN.keys() == {f"parity {name}" for name in names} | below
    listed = (COMMAND_PAGES / "index.md").read_text()
    assert [name for name in names if f"({name}.md)" not in listed] == []


def test_every_page_is_in_the_navigation():
    settings = (ROOT / "mkdocs.yml").read_text()
    navigation = str(yaml.safe_load(settings)["nav"])
    assert [str(page) for page in PAGES if f"'{page}'" not in navigation] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_pictures_of_a_page_exist(page: Path):
    place = (ROOT / "docs" / page).parent
    links = re.findall(r"\]\(([^)#\s]+?)(?:#[^)]*)?\)", (ROOT / "docs" / page).read_text())
    local = [link for link in links if not link.startswith(("http:", "https:", "reference/"))]
    assert [link for link in local if not (place / link).exists()] == []


def _statements(script: str) -> Iterator[str]:
    """Yield a script's commands, each ``parity`` one alone, what is between them together."""
    script = script.replace("\\\n", " ")
    for part in re.split(r"^(parity .*)$", script, flags=re.MULTILINE):
        if part.strip():
            yield part.strip()


def test_commands_of_the_tutorial_work_as_they_stand(parity, tmp_path: Path, monkeypatch):
    page = (ROOT / "docs" / "tutorial.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    told = []
    for statement in _statements("\n".join(blocks)):
        if statement.startswith("parity "):  # here, since each start of its own takes seconds
            code, out, err = parity(*shlex.split(statement)[1:])
            assert code == 0, f"{statement}: {err}"
            told.append(out)
        else:
            subprocess.run(["bash", "-euc", statement], check=True)
    assert len(told) >= 11
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "site" / "index.html").is_file()
