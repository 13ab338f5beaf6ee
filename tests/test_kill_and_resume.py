"""An evaluation that is killed and started again ends as if nothing had happened."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from evalcore.store import open_store

# Imports once, then forks for each attempt. A child kills itself around one of its first commits:
# the work goes on from kill to kill, however fast the machine is, and no kill comes after the end.
DRIVER = """
import json, os, random, signal, sys, threading
import alembic.command, peft, sqlalchemy, torch, transformers
import evalcore.cli, evalcore.evaluate, evalcore.progress, evalcore.tasks
import runners.engine.generation, runners.engine.scoring, runners.hf.backend, runners.hf.runner
from evalcore.__main__ import main

def die_at_commit(n_commits, delay_s):
    left = iter(range(n_commits - 1, -1, -1))

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "commit")
    def count(connection):
        if next(left, None) == 0:
            threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()

def attempt(arguments, *kill):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["parity", *arguments]
        if kill:
            die_at_commit(*kill)
        try:
            main()
        except SystemExit as end:
            os._exit(end.code or 0)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

plain, killed, n_kills, seed, *arguments = json.loads(sys.argv[1])
assert attempt([*arguments, "-w", plain]) == 0
rng = random.Random(seed)
arguments += ["-w", killed]
kills = [(rng.randint(1, 12), rng.choice([0, rng.uniform(0, 0.03)])) for _ in range(n_kills)]
codes = [attempt(arguments, *kill) for kill in kills]
codes.append(attempt(arguments))
print(json.dumps(codes))
"""


def write_tasks(folder: Path) -> list[str]:
    choices = [
        {"prompt": f"Question {n}: which?" + " and why" * (n % 7), "choices": ["red", "green fox"]}
        for n in range(60)
    ]
    lines = {
        "choice": [line | {"answer": 0} for line in choices],
        "answers": [{"prompt": "dog " * (n % 9 + 1) + str(n), "reference": "x"} for n in range(40)],
    }
    settings = {
        "choice": {"kind": "multiple_choice"},
        "answers": {
            "kind": "generate",
            "metrics": ["exact_match"],
            "generation": {"max_new_tokens": 12, "temperature": 0.7},
        },
    }
    for name, keys in settings.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines[name])))
        definition = keys | {"name": name, "examples": f"{name}.jsonl"}
        (folder / f"{name}.yaml").write_text(json.dumps(definition))
    return [str(folder / f"{name}.yaml") for name in settings]


def facts(workspace: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything stored but times and what depends on them."""
    queries = {
        "loglikelihood": "SELECT request_key, logprob, is_greedy FROM loglikelihood ORDER BY 1",
        "generation": "SELECT request_key, text, finish_reason FROM generation ORDER BY 1",
        "score": "SELECT task_hash, metric, example_id, value FROM score ORDER BY 1, 2, 3",
        "work": "SELECT task_hash, SUM(prefill_tokens), SUM(decode_tokens) FROM work GROUP BY 1",
    }
    with open_store(workspace) as store, store._engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(sa.text(query))]
            for name, query in queries.items()
        }


@pytest.mark.slow
def test_killed_evaluation_resumes_to_the_same_numbers_and_repeats_nothing(llama, tmp_path: Path):
    tasks = [part for path in write_tasks(tmp_path) for part in ("-t", path)]
    model = f"hf:{llama.folder}+lora:{llama.adapters['first']}*0.5"
    workspaces = [str(tmp_path / "plain"), str(tmp_path / "killed")]
    arguments = ["eval", "-m", model, *tasks, "--batch-size", "4", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps([*workspaces, 8, 7, *arguments])],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout)
    assert codes.count(-9) >= 4
    assert codes[-1] == 0
    assert facts(Path(workspaces[1])) == facts(Path(workspaces[0]))
