"""A user's own model and task, from the folder on disk to leaderboard, report and MLflow."""

import json
from pathlib import Path

import pytest

QUESTIONS = [
    {"question": f"Is {n} even?", "options": ["yes", "no"], "gold": ["yes", "no"][n % 2]}
    for n in range(40)
]


@pytest.fixture
def study(tiny_models, tmp_path: Path) -> Path:
    """A run file over a GPT-NeoX folder with two adapters, and a task in the user's own fields."""
    neox = tiny_models["neox"]
    lines = [
        {"prompt": q["question"], "choices": q["options"], "answer": q["gold"]} for q in QUESTIONS
    ]
    (tmp_path / "even.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task = {"name": "even", "kind": "multiple_choice", "examples": "even.jsonl"}
    (tmp_path / "even.yaml").write_text(json.dumps(task))
    (tmp_path / "words.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)))
    free = {"name": "words", "kind": "generate", "examples": "words.jsonl"}
    free |= {"template": "{{ question }}", "target": "{{ gold }}", "metrics": ["contains"]}
    free |= {"generation": {"max_new_tokens": 6}}
    (tmp_path / "words.yaml").write_text(json.dumps(free))
    first, second = neox.adapters.values()
    models = [
        f"base=hf:{neox.folder}",
        f"stack=hf:{neox.folder}+lora:{first}*0.5+lora:{second}",
        f"int8=hf:{neox.folder}?quant=int8",
    ]
    tasks = [str(tmp_path / "even.yaml"), str(tmp_path / "words.yaml")]
    (tmp_path / "study.yaml").write_text(json.dumps({"models": models, "tasks": tasks}))
    return tmp_path / "study.yaml"


@pytest.mark.slow
def test_own_model_and_task_reach_leaderboard_report_and_mlflow(parity, study, tmp_path: Path):
    out = tmp_path / "out"
    code, printed, _ = parity("run", study, "-w", out, "--json")
    runs = json.loads(printed)["runs"]
    assert code == 0
    assert len(runs) == 3 * 2

    code, printed, _ = parity("leaderboard", "--sync", "-w", out, "--json")
    board = json.loads(printed)
    names = {row["model"]["name"] for row in board["leaderboard"]["standings"]}
    assert code == 0
    assert names == {"base", "stack", "int8 (bf16)"}
    assert board["sync"]["n_created"] == 3 + 3 * 2
    assert (out / "mlflow.db").is_file()

    code, *_ = parity("report", "-w", out)
    page = (out / "report.html").read_text()
    assert code == 0
    assert all(name in page for name in names)
