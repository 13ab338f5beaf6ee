"""What Parity adds to the calls of a judge: throughput, processor time, memory, rows kept.

A stub server in a process of its own answers after 200 ms. Every reply goes through the endpoint
runner into a workspace on disk, as in ``parity judge``::

    make bench-judge
    python benchmarks/judge.py [--calls N] [--memory-calls N] [--only throughput] [--json FILE]

- *concurrency*: 64 calls in flight, ideally 320 calls a second, beside the openai client alone;
- *rate*: a limit of 3,000 requests a minute, ideally 50 calls a second;
- *rows*: 50 answers rated by the same stub, by ``parity judge``'s own function and by
  ``mlflow.genai.evaluate`` with its default store, in turns;
- *memory*: resident memory over many calls without latency.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

import openai

from evalcore.__main__ import main as parity_main
from evalcore.answering import respond
from evalcore.executors import LocalExecutor
from evalcore.hashing import content_hash
from evalcore.protocols import GenerateRequest
from evalcore.records import Example, Message, ModelSpec, SamplingParams
from evalcore.stages import ReadyJob, Work
from evalcore.store import open_store
from runners import open_runners, parse_model

LATENCY_S = 0.2
CONCURRENCY = 64
PER_MINUTE = 3000
ANSWER = "The answer names the causes and gives a reason for each of them. " * 12
PARAMS = SamplingParams(max_new_tokens=512)


@dataclass(frozen=True)
class Throughput:
    """Calls beside the ideal."""

    n_calls: int
    n_kept: int
    calls_per_s: float
    ideal_per_s: float
    share_of_ideal: float
    cpu_ms_per_call: float


@contextmanager
def stub(*options: str) -> Iterator[str]:
    """Serve in a process of its own; yield the model string."""
    command = [sys.executable, "-m", "runners.endpoint.stub", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().replace("MODEL", "stub-judge")
        finally:
            process.terminate()


def jobs(n: int, *, start: int = 0) -> list[ReadyJob]:
    """Make pairwise questions of about 1,700 characters, no two alike."""
    made = []
    for number in range(start, start + n):
        text = f"Question {number}. Which answer is better?\n\nA: {ANSWER}\n\nB: {ANSWER}"
        example = Example(id=content_hash(number), messages=(Message(role="user", content=text),))
        made.append(ReadyJob(example, GenerateRequest(prompt=example.messages, params=PARAMS)))
    return made


def run(spec: ModelSpec, asked: list[ReadyJob], *, ideal_per_s: float) -> Throughput:
    """Let the stub answer everything, and count what is in the workspace then."""
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder)) as store:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        respond(
            [spec],
            [Work("judging", "judging", asked)],
            store,
            executor=LocalExecutor(open_runners),
            begin=lambda _label, _total: lambda _count, _cost: None,
            done=lambda _spec, _work: None,
        )
        wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
        kept = store.responses(spec.fingerprint, [job.request.key for job in asked])
    return Throughput(
        n_calls=len(asked),
        n_kept=len(kept),
        calls_per_s=len(asked) / wall_s,
        ideal_per_s=ideal_per_s,
        share_of_ideal=len(asked) / wall_s / ideal_per_s,
        cpu_ms_per_call=cpu_s / len(asked) * 1000,
    )


def bare(spec: ModelSpec, asked: list[ReadyJob]) -> Throughput:
    """Make the same calls with the openai client alone and keep nothing, for comparison."""

    async def ask_all() -> None:
        async with openai.AsyncOpenAI(
            api_key="none",
            base_url=dict(spec.options)["url"],
            http_client=openai.DefaultAioHttpClient(),
        ) as client:
            pending = iter(asked)

            async def work() -> None:
                for job in pending:
                    turn = {"role": "user", "content": job.example.messages[0].content}
                    await client.chat.completions.create(model="stub-judge", messages=[turn])

            await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    begin, begin_cpu = time.perf_counter(), time.process_time()
    asyncio.run(ask_all())
    wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
    ideal_per_s = CONCURRENCY / LATENCY_S
    return Throughput(
        n_calls=len(asked),
        n_kept=0,
        calls_per_s=len(asked) / wall_s,
        ideal_per_s=ideal_per_s,
        share_of_ideal=len(asked) / wall_s / ideal_per_s,
        cpu_ms_per_call=cpu_s / len(asked) * 1000,
    )


def throughput(n_calls: int) -> dict[str, Throughput]:
    """Measure at the concurrency and at the rate, after a few calls that warm up."""
    with stub("--latency-ms", f"{LATENCY_S * 1000:g}") as model:
        wide = parse_model(f"{model}?concurrency={CONCURRENCY}")
        paced = parse_model(f"{model}?concurrency={CONCURRENCY}&rpm={PER_MINUTE}")
        run(wide, jobs(CONCURRENCY), ideal_per_s=CONCURRENCY / LATENCY_S)
        return {
            "openai alone, 64": bare(wide, jobs(n_calls // 2)),
            "concurrency 64": run(wide, jobs(n_calls), ideal_per_s=CONCURRENCY / LATENCY_S),
            "3,000 a minute": run(paced, jobs(n_calls // 4), ideal_per_s=PER_MINUTE / 60),
        }


def memory(n_calls: int) -> list[tuple[int, float]]:
    """Return calls made and resident MiB, at every tenth of the way.

    The jobs of a tenth are made when its turn comes: what grows is what the calls leave behind.
    """
    found = []
    with (
        stub() as model,
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder)) as store,
    ):
        spec = parse_model(f"{model}?concurrency={CONCURRENCY}")
        for tenth in range(10):
            asked = jobs(n_calls // 10, start=tenth * n_calls // 10)
            respond(
                [spec],
                [Work("judging", "judging", asked)],
                store,
                executor=LocalExecutor(open_runners),
                begin=lambda _label, _total: lambda _count, _cost: None,
                done=lambda _spec, _work: None,
            )
            found.append(((tenth + 1) * n_calls // 10, resident_mib()))
    return found


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Rows:
    """Rows judged, and those found in the store afterwards."""

    n_judged: int
    n_kept: int
    wall_s: float


def parity_rows(model: str, n_rows: int) -> Rows:
    """Rate answers with ``parity judge``, the command, and count the replies in the workspace."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.jsonl"
        lines = (json.dumps({"id": f"q{i}", "prompt": f"Question {i}?"}) for i in range(n_rows))
        prompts.write_text("\n".join(lines) + "\n")
        told = ["-m", "fake:echo", "-p", str(prompts), "-w", folder, "--json"]
        command("generate", *told)
        begin = time.perf_counter()
        command("judge", *told, "-j", f"{model}?concurrency=10", "--judge-prompt", "single")
        wall_s = time.perf_counter() - begin
        with open_store(Path(folder)) as store:
            fingerprint = parse_model(model).fingerprint
            return Rows(n_rows, len(list(store.generations(fingerprint=fingerprint))), wall_s)


def command(*arguments: str) -> None:
    """Run the command line in this process, where everything is imported already."""
    sys.argv = ["parity", *arguments]
    with suppress(SystemExit), redirect_stdout(StringIO()):
        parity_main()


def mlflow_rows(model: str, n_rows: int) -> Rows:
    """Rate answers with ``mlflow.genai.evaluate`` and count the assessments in its store."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "OPENAI_API_KEY": "none"}
    import mlflow
    from mlflow.genai.judges import make_judge

    url = model.partition("@")[2] + "/chat/completions"
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        experiment_id = mlflow.create_experiment("rows", artifact_location=f"{folder}/artifacts")
        mlflow.set_experiment(experiment_id=experiment_id)
        scorer = make_judge(
            name="rating",
            instructions="Rate the answer {{ outputs }} to {{ inputs }} from 1 to 10.",
            model="openai:/stub-judge",
            base_url=url,
            feedback_value_type=int,
        )
        data = [
            {"inputs": {"question": f"Question {i}?"}, "outputs": f"Question {i}?"}
            for i in range(n_rows)
        ]
        begin = time.perf_counter()
        with redirect_stdout(StringIO()):
            mlflow.genai.evaluate(data=data, scorers=[scorer])
        wall_s = time.perf_counter() - begin
        traces = mlflow.search_traces(
            locations=[experiment_id], max_results=10 * n_rows, return_type="list"
        )
        kept = sum(any(a.name == "rating" for a in trace.info.assessments) for trace in traces)
        return Rows(n_rows, kept, wall_s)


def rows(n_rows: int) -> dict[str, Rows]:
    """Rate the same answers both ways, in turns, after one small round that warms up."""
    reply = json.dumps({"result": 7, "rationale": "Rating: [[7]]"})
    with stub("--latency-ms", f"{LATENCY_S * 1000:g}", "--reply", reply) as model:
        for count in (2, n_rows):
            found = {"parity": parity_rows(model, count), "mlflow": mlflow_rows(model, count)}
    return found


def print_throughput(found: dict[str, Throughput]) -> None:
    print(f"{'':17} {'calls/s':>8} {'ideal':>6} {'share':>6} {'CPU ms/call':>12} {'kept':>12}")
    for name, item in found.items():
        print(
            f"{name:17} {item.calls_per_s:8.1f} {item.ideal_per_s:6.0f} "
            f"{item.share_of_ideal:6.1%} {item.cpu_ms_per_call:12.2f} "
            f"{item.n_kept:>5} of {item.n_calls}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=6400, help="of the throughput")
    parser.add_argument("--memory-calls", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--only", choices=("throughput", "rows", "memory"))
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found: dict[str, object] = {"machine": platform.machine(), "python": platform.python_version()}
    if options.only in (None, "throughput"):
        measured = throughput(options.calls)
        print_throughput(measured)
        found["throughput"] = {name: asdict(item) for name, item in measured.items()}
    if options.only in (None, "rows"):
        both = rows(options.rows)
        for name, item in both.items():
            print(f"{name}: {item.n_kept} of {item.n_judged} rows kept, {item.wall_s:.2f} s")
        ratio = both["mlflow"].wall_s / both["parity"].wall_s
        print(f"mlflow.genai.evaluate takes {ratio:.0f} times as long")
        found["rows"] = {name: asdict(item) for name, item in both.items()} | {"ratio": ratio}
    if options.only in (None, "memory"):
        points = memory(options.memory_calls)
        for n_calls, mib in points:
            print(f"{n_calls:>8} calls: {mib:6.1f} MiB resident")
        found["memory_mib"] = points
    text = json.dumps(found, indent=2)
    if options.json is not None:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
