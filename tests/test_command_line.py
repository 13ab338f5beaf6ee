import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalcore import __version__
from evalcore.__main__ import COMMANDS, INTERRUPTED
from evalcore.errors import WorkspaceError
from evalcore.launching import main as launch
from evalcore.store import Store


@pytest.fixture
def task(tmp_path: Path) -> Path:
    lines = [{"prompt": f"{n}?", "choices": ["a", "b"], "answer": n % 2} for n in range(6)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    keys = {"name": "t", "kind": "multiple_choice", "examples": "t.jsonl"}
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps(keys))
    return path


def test_eval_prints_json_on_stdout_and_nothing_else(parity, task: Path, tmp_path: Path):
    code, out, err = parity("eval", "-m", "fake:x", "-t", task, "-w", tmp_path / "out", "--json")
    (run,) = json.loads(out)["runs"]
    assert (code, err) == (0, "")
    assert (run["task"], run["estimates"]["accuracy"]["n"]) == ("t", 6)


def test_eval_prints_a_table_with_intervals(parity, task: Path, tmp_path: Path):
    code, out, _ = parity("eval", "-m", "m=fake:x", "-t", task, "-w", tmp_path / "out")
    assert code == 0
    assert "accuracy" in out
    assert " to " in out


def test_eval_of_the_same_twice_gives_the_same_json(parity, task: Path, tmp_path: Path):
    arguments = ("eval", "-m", "fake:x", "-t", task, "-w", tmp_path / "out", "--json")
    assert parity(*arguments)[1] == parity(*arguments)[1]


def test_generate_answers_prompts(parity, tmp_path: Path):
    (tmp_path / "p.txt").write_text("hello\n")
    prompts = ("-p", tmp_path / "p.txt", "-w", tmp_path / "out")
    code, out, _ = parity("generate", "-m", "fake:x", *prompts, "--json")
    assert code == 0
    assert json.loads(out)["generations"][0]["text"] == "hello"


def test_answers_fit_the_smallest_window_where_nobody_says_how_long(parity, llama, tmp_path: Path):
    (tmp_path / "p.txt").write_text("hello\n")
    prompts = ("-p", tmp_path / "p.txt", "--no-chat", "-w", tmp_path / "out", "--json")
    models = ("-m", "fake:x", "-m", f"hf:{llama.folder}")
    code, out, _ = parity("generate", *models, *prompts)
    assert code == 0
    assert [item["params"]["max_new_tokens"] for item in json.loads(out)["generations"]] == [48, 48]
    _, out, _ = parity("generate", "-m", "fake:x", *prompts)
    assert json.loads(out)["generations"][0]["params"]["max_new_tokens"] == 256


@pytest.mark.parametrize(("given", "used"), [({}, 48), ({"max_new_tokens": 7}, 7)])
def test_run_file_without_a_length_has_one_that_fits(parity, llama, tmp_path: Path, given, used):
    (tmp_path / "p.txt").write_text("hello\n")
    study = {"models": [f"hf:{llama.folder}"], "prompts": [str(tmp_path / "p.txt")], "chat": False}
    (tmp_path / "study.yaml").write_text(json.dumps({**study, "generation": {"seed": 1, **given}}))
    code, out, _ = parity("run", tmp_path / "study.yaml", "-w", tmp_path / "out", "--json")
    (answer,) = json.loads(out)["generations"]
    assert code == 0
    assert (answer["params"]["max_new_tokens"], answer["params"]["seed"]) == (used, 1)


def test_run_does_what_a_file_says(parity, task: Path, tmp_path: Path):
    (tmp_path / "p.txt").write_text("hello\n")
    study = {
        "models": ["fake:x", {"name": "long form", "model": "fake:y"}],
        "tasks": [str(task)],
        "prompts": [str(tmp_path / "p.txt")],
        "limit": 2,
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    code, out, _ = parity("run", tmp_path / "study.yaml", "-w", tmp_path / "out", "--json")
    result = json.loads(out)
    assert code == 0
    assert [run["model"] for run in result["runs"]] == ["x", "long form"]
    assert result["runs"][0]["n_examples"] == 2
    assert len(result["generations"]) == 2


def test_tasks_lists_the_bundled_ones_and_checks_own_files(parity, task: Path):
    code, out, _ = parity("tasks", "--json")
    assert code == 0
    assert "tiny-arithmetic" in {row["name"] for row in json.loads(out)["tasks"]}
    assert json.loads(parity("tasks", task, "--json")[1])["tasks"][0]["examples"] == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "-m", "nosuch:x", "-t", "tiny-choice"], "got 'nosuch:x'"),
        (["eval", "-m", "zoo:nosuch", "-t", "tiny-choice"], "zoo"),
        (
            ["eval", "-m", "fake:x", "-t", "nosuch"],
            "task must be a YAML file, lm_eval:NAME or one of",
        ),
        (["eval", "-m", "fake:x", "-t", "nosuch.yaml"], "nosuch.yaml: no such file"),
        (["eval", "-m", "fake:x"], "Missing option"),
        (["eval", "-m", "fake:x", "-t", "tiny-choice", "--memory", "much"], "much"),
        (["eval", "-m", "fake:x", "-t", "tiny-choice", "--engine", "fast"], "auto"),
        (["eval", "-m", "a=fake:x", "-m", "b=fake:x", "-t", "tiny-choice"], "the same variant"),
        (["eval", "-m", "a=fake:x", "-m", "a=fake:y", "-t", "tiny-choice"], "two models are named"),
        (["generate", "-m", "fake:x", "-p", "nosuch.txt"], "nosuch.txt: no such file"),
        (["generate", "-m", "fake:x", "-p", "p.txt", "--top-p", "0"], "--top-p must be in (0, 1]"),
        (["run", "nosuch.yaml"], "nosuch.yaml: no such file"),
        (["nosuch"], "No such command"),
    ],
)
def test_bad_input_is_told_on_stderr_with_exit_2(parity, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = parity(*arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"models": []}, "key 'models'"),
        ({"models": ["fake:x"], "task": ["t"]}, "unknown key 'task'; permitted: models, tasks"),
        ({"models": ["fake:x"]}, "neither tasks nor prompts"),
        ({"models": [{"name": "x"}], "tasks": ["t"]}, "models.0"),
    ],
)
def test_broken_run_file_names_the_key(parity, tmp_path: Path, content, message):
    (tmp_path / "study.yaml").write_text(json.dumps(content))
    code, _, err = parity("run", tmp_path / "study.yaml")
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    "raised",
    [KeyboardInterrupt(), ValueError('Error building "union" validator:\n  KeyboardInterrupt: ')],
    ids=["itself", "as pydantic tells it"],
)
def test_interruption_keeps_what_was_done_and_says_so(parity, task, tmp_path, monkeypatch, raised):
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise raised

    monkeypatch.setattr(Store, "add_scores", interrupt)
    code, _, err = parity("eval", "-m", "fake:x", "-t", task, "-w", tmp_path / "out")
    assert code == INTERRUPTED
    assert err.endswith("the same command goes on\n")


def test_full_disk_is_one_line_and_what_was_stored_stays(parity, task, tmp_path, monkeypatch):
    def fill(*_arguments: object, **_options: object) -> None:
        raise WorkspaceError("workspace out: database or disk is full")

    arguments = ("eval", "-m", "fake:x", "-t", task, "-w", tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(Store, "add_scores", fill)
        code, _, err = parity(*arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert parity(*arguments)[0] == 0


def test_place_that_nobody_looked_at_before_is_one_line(parity, task, tmp_path, monkeypatch):
    def write(*_arguments: object, **_options: object) -> None:
        Path("gone/file").write_text("")

    monkeypatch.setattr(Store, "add_scores", write)
    code, _, err = parity("eval", "-m", "fake:x", "-t", task, "-w", tmp_path / "out")
    assert (code, err.splitlines()[-1]) == (2, "parity: gone/file: No such file or directory")


def test_workspace_that_can_not_be_made_is_one_line(parity, task: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    arguments = ("-m", "fake:x", "-t", task, "-w", tmp_path / "file" / "out")
    code, _, err = parity("eval", *arguments)
    assert code == 2
    assert err.count("\n") == 1


def test_version_is_told(parity):
    assert parity("--version")[1].strip() == __version__


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(parity, command: str):
    code, out, _ = parity(command, "--help")
    assert code == 0
    assert COMMANDS[command].__doc__.split("\n")[0].rstrip(".").split()[0] in out


def test_command_is_installed_and_offers_completion():
    script = Path(sys.executable).parent / "parity"
    environment = os.environ | {"_PARITY_COMPLETE": "complete_bash", "COMP_WORDS": "parity ev"}
    environment |= {"COMP_CWORD": "1"}
    done = subprocess.run([script], capture_output=True, text=True, env=environment, check=False)
    assert "eval" in done.stdout


def test_wrong_option_is_one_line_that_names_the_help(parity):
    code, out, err = parity("eval", "--limit", "many", "-m", "fake:x", "-t", "tiny-choice")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.endswith("see parity eval --help\n")


def test_option_without_its_value_is_one_line_that_names_the_help(parity):
    code, out, err = parity("report", "--site")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.endswith("see parity report --help\n")


def test_no_command_shows_all_of_them_with_their_whole_first_lines(parity):
    code, out, _ = parity()
    assert code == 0
    told = " ".join(out.split())
    assert all(COMMANDS[name].__doc__.split("\n")[0] in told for name in COMMANDS)


def test_ctrl_c_while_the_commands_are_loaded_ends_in_one_line(monkeypatch, capsys):
    class Interrupting:
        def find_spec(self, name: str, *_rest: object) -> None:
            if name == "evalcore.__main__":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "evalcore.__main__")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit) as end:
        launch()
    assert end.value.code == INTERRUPTED
    assert capsys.readouterr().err.count("\n") == 1
