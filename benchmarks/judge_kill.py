"""Kill ``parity judge`` at random moments, resume it, and count what was paid.

A stub server on this machine counts its answers by call. After each kill the workspace says what
had been stored: none of that may be asked again. What was in flight at the kill, at most as many
calls as the concurrency permits, has to be asked again, as nobody has its reply. In the end two
commands at once judge a fresh workspace.

    python benchmarks/judge_kill.py --kills 50
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from evalcore.hashing import content_hash
from evalcore.protocols import Completion
from evalcore.records import Efficiency
from evalcore.store import Store, open_store
from evalcore.store.store import Answered
from evalcore.tasks.prompt_sets import read_prompts
from runners import parse_model, resolve
from runners.endpoint.stub import StubReply, StubScript, StubServer, serving
from runners.endpoint.wire import CHAT_PATH

MODELS = ("zoo:tiny", "zoo:tiny+lora:zoo:tiny-instruct")
CONCURRENCY = 8
LATENCY_S = 0.1
CALLS_PER_KILL = 48
"""More than are answered when a command is killed, so that each kill meets a running one."""
COUNTS = (*[0] * 8, *range(33))
"""Answers after which a command is killed, some while it starts."""
JITTER_S = 0.1
LIMIT_S = 60.0


@dataclass(frozen=True)
class Counted:
    """What came of it."""

    n_calls: int
    """Calls that the job needs."""
    n_kills: int
    n_hits: int
    """Kills that met a running command."""
    n_stored_at_last_kill: int
    n_stored: int
    n_comparisons: int
    n_repeated_after_storing: int
    """Answers to calls whose reply was stored at an earlier kill; must be 0."""
    n_repeated_in_flight: int
    """Answers to calls that were in flight at a kill."""
    n_repeated_by_two_at_once: int
    """Answers that two commands at once asked twice; must be 0."""
    exit_codes: tuple[int, ...]
    """Of the last run, and of the two at once."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--launcher", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.launcher:
        launch()
        return
    counted = count(given.kills, given.seed)
    print(json.dumps(asdict(counted), indent=2))
    good = not counted.n_repeated_after_storing and not counted.n_repeated_by_two_at_once
    complete = counted.n_stored == counted.n_calls == 2 * counted.n_comparisons
    sys.exit(0 if good and complete and not any(counted.exit_codes) else 1)


def count(n_kills: int, seed: int) -> Counted:
    """Kill a job again and again, finish it, and let two commands do it at once."""
    n_prompts = n_kills * CALLS_PER_KILL // 2
    rng = random.Random(seed)
    answer = StubReply(text='{"explanation": "so it is", "verdict": "A"}')
    script = StubScript(answer=lambda _prompt: answer, latency_s=LATENCY_S)
    with tempfile.TemporaryDirectory() as name, launcher() as run, serving(script) as server:
        folder = Path(name)
        prompts = write_prompts(folder, n_prompts)
        killed = prepared(folder / "killed", prompts)
        repeated: Counter[str] = Counter()
        hits = 0
        at_kill: list[tuple[set[str], Counter[str]]] = []
        for _ in range(n_kills):
            wait = partial(wait_for_answers, server, rng.choice(COUNTS), rng.uniform(0, JITTER_S))
            codes = run(arguments(killed, prompts, server), wait_to_kill=wait)
            hits += codes == [-signal.SIGKILL]
            at_kill.append((stored(killed), Counter(server.stats.answered)))
        last = run(arguments(killed, prompts, server))
        for keys, answered in at_kill:
            for key in keys:
                repeated[key] = max(repeated[key], server.stats.answered[key] - answered[key])
        n_answers = sum(server.stats.answered.values())
        with open_store(killed) as store:
            n_comparisons = len(list(store.comparisons()))
        n_stored = len(stored(killed))
        server.stats.answered.clear()
        both = prepared(folder / "both", prompts)
        codes = run(arguments(both, prompts, server), times=2)
        return Counted(
            n_calls=2 * n_prompts,
            n_kills=n_kills,
            n_hits=hits,
            n_stored_at_last_kill=len(at_kill[-1][0]),
            n_stored=n_stored,
            n_comparisons=n_comparisons,
            n_repeated_after_storing=sum(repeated.values()),
            n_repeated_in_flight=n_answers - n_stored - sum(repeated.values()),
            n_repeated_by_two_at_once=sum(server.stats.answered.values()) - len(stored(both)),
            exit_codes=(*last, *codes),
        )


def wait_for_answers(server: StubServer, n: int, jitter_s: float) -> None:
    enough, end = server.stats.n_answered + n, time.monotonic() + LIMIT_S
    while server.stats.n_answered < enough and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(jitter_s)


def arguments(workspace: Path, prompts: Path, server: StubServer) -> list[str]:
    models = [part for model in MODELS for part in ("-m", model)]
    judge = f"openai:stub@{server.url}?concurrency={CONCURRENCY}"
    return ["judge", *models, "-p", str(prompts), "-j", judge, "-w", str(workspace)]


def write_prompts(folder: Path, n: int) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text(
        "".join(json.dumps({"id": i, "prompt": f"Question {i}?"}) + "\n" for i in range(n))
    )
    return path


def prepared(workspace: Path, prompts: Path) -> Path:
    """Make a workspace in which both models have answered all prompts."""
    examples = read_prompts(prompts)
    with open_store(workspace) as store:
        store.add_examples(examples)
        for spec in (resolve(parse_model(text)) for text in MODELS):
            answered = [
                Answered(
                    example_id=example.id,
                    request_key=content_hash([spec.name, example.id]),
                    response=completion(f"{spec.name} on {example.id}"),
                )
                for example in examples
            ]
            store.add_model(spec)
            store.add_responses(spec.fingerprint, answered, task_hash="", took=Efficiency())
    return workspace


def completion(text: str) -> Completion:
    return Completion(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, duration_s=0.0
    )


def stored(workspace: Path) -> set[str]:
    """Return the names, as the server sees them, of calls whose replies are in a workspace."""
    with open_store(workspace) as store:
        return {content_hash(["stub", CHAT_PATH, reply.request_key]) for reply in replies(store)}


def replies(store: Store) -> Iterator:
    judge = next((spec for spec in store.models().values() if spec.backend == "openai"), None)
    return store.generations(fingerprint=judge.fingerprint) if judge else iter(())


@contextmanager
def launcher() -> Iterator:
    """Start a process that has everything imported and forks for each command.

    So a kill hits the work and not the imports, and no thread of the stub is forked.
    """
    process = subprocess.Popen(
        [sys.executable, __file__, "--launcher"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(
        command: Sequence[str], *, wait_to_kill: Callable[[], None] | None = None, times: int = 1
    ) -> list[int]:
        print(json.dumps([command, times]), file=process.stdin, flush=True)
        children = json.loads(process.stdout.readline())
        if wait_to_kill:
            wait_to_kill()
            os.kill(children[0], signal.SIGKILL)
        return json.loads(process.stdout.readline())

    with process:
        yield run
        process.stdin.close()


def launch() -> None:
    """Run commands that come line by line, each in a fork of this process."""
    import evalcore.judges.judging  # noqa: F401
    import runners.endpoint.runner  # noqa: F401
    from evalcore.__main__ import main as parity

    for model in MODELS:
        resolve(parse_model(model))  # reads the weights' hashes once for all
    for line in sys.stdin:
        command, times = json.loads(line)
        children = [fork(command, parity) for _ in range(times)]
        print(json.dumps(children), flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


def fork(command: Sequence[str], parity) -> int:
    child = os.fork()
    if child:
        return child
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["parity", *command]
    try:
        parity()
    except SystemExit as end:
        os._exit(int(end.code or 0))
    os._exit(0)


if __name__ == "__main__":
    main()
