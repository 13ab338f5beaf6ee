"""Votes a second of the arena under 64 clients, beside the same vote through a Gradio queue.

Run it with ``make bench-arena`` or ``python benchmarks/arena.py``. Two servers of one process each
share one core, which the load does not use: one with ``POST /api/vote``, one with a Gradio event
that casts the same vote. Each is loaded in turns; every vote is another battle of another rater,
committed with full sync. At the end each receipt is looked up in the database. A third server is
started to measure start and memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import psutil
import sqlalchemy as sa

from arena.arena import Arena
from arena.fake import FakeSource
from arena.identity import RATER_COOKIE
from arena.records import Ballot
from arena.service import create_app
from arena.serving import Address, serve
from arena.settings import ArenaSettings
from evalcore.store import Store, open_store
from evalcore.store.arena_schema import vote

N_CLIENTS = 64
SECRET = "benchmark" * 4
LIMIT = "1000000/second"
SETTINGS = ArenaSettings(secret=SECRET, vote_limit=LIMIT, battle_limit=LIMIT)


@dataclass(frozen=True)
class Ready:
    """A battle that waits for its vote."""

    cookie: str
    token: str


@dataclass(frozen=True)
class Load:
    """What a server did under load."""

    n_votes: int
    took_s: float
    latencies_ms: list[float]
    receipts: list[str]

    @property
    def per_s(self) -> float:
        """Votes a second."""
        return self.n_votes / self.took_s

    @property
    def p95_ms(self) -> float:
        """Time that 95 of 100 votes stay below."""
        return statistics.quantiles(self.latencies_ms, n=20)[-1]


# the servers


def run_server(kind: str, workspace: Path) -> None:
    """Serve on any port; print it. Called in a process of its own."""
    with open_store(workspace) as store:
        arena = Arena(store, FakeSource(), settings=SETTINGS)
        mount = {
            "api": None,
            "queue": partial(mount_queue, arena),
            "page": partial(mount_page, arena),
        }
        app = create_app(arena, mount=mount[kind])
        serve(app, Address(port=0), ready=lambda link: print(link, flush=True))


def mount_queue(arena: Arena, app: Any) -> None:
    """Mount a Gradio app whose one event casts a vote, as an arena without routes would."""

    async def cast(token: str, request: gr.Request) -> str:
        rater = arena.identify(request.cookies)
        assert rater is not None
        receipt, _ = await arena.vote(rater, token, Ballot(choice="left"), reveal=True)
        return receipt.id

    with gr.Blocks(analytics_enabled=False) as page:
        token, receipt = gr.Textbox(), gr.Textbox()
        gr.Button("Vote").click(cast, token, receipt, concurrency_limit=N_CLIENTS)
    gr.mount_gradio_app(app, page, path="/", enable_monitoring=False)


def mount_page(arena: Arena, app: Any) -> None:
    """Mount the arena's own page."""
    from arena.page.layout import build_page
    from arena.page.layout import mount_page as mount

    mount(app, build_page(arena.look))


@contextmanager
def server(kind: str, workspace: Path, *, core: int | None = 0) -> Iterator[tuple[int, int]]:
    """Start a server on one core; give its port and process."""
    command = [sys.executable, __file__, "--serve", kind, "--workspace", str(workspace)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        port = int(process.stdout.readline().rsplit(":", 1)[1].strip("/\n"))
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


# the load


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes
) -> tuple[int, bytes]:
    """Send a request over an open connection; return status and body."""
    writer.write(text)
    head = await reader.readuntil(b"\r\n\r\n")
    headers = head.lower()
    if b"content-length: " in headers:
        start = headers.index(b"content-length: ") + 16
        length = int(headers[start : headers.index(b"\r", start)])
        return int(head[9:12]), await reader.readexactly(length)
    return int(head[9:12]), b""


def message(method: str, path: str, *, cookie: str, body: object = None) -> bytes:
    """Return a request's bytes."""
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {RATER_COOKIE}={cookie}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def vote_by_route(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, battle: Ready
) -> str:
    """Vote as the page does; return the receipt."""
    body = {"token": battle.token, "choice": "left", "reveal": True}
    status, content = await request(
        reader, writer, message("POST", "/api/vote", cookie=battle.cookie, body=body)
    )
    assert status == 200, content
    receipt: str = json.loads(content)["receipt"]["id"]
    return receipt


async def vote_by_queue(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, battle: Ready
) -> str:
    """Vote as a Gradio button does: join the queue, listen until it is done."""
    body = {"data": [battle.token], "fn_index": 0, "session_hash": battle.token[:16]}
    join = message("POST", "/gradio_api/queue/join", cookie=battle.cookie, body=body)
    status, content = await request(reader, writer, join)
    assert status == 200, content
    path = f"/gradio_api/queue/data?session_hash={battle.token[:16]}"
    writer.write(message("GET", path, cookie=battle.cookie))
    receipt = ""
    while (line := await reader.readline()) != b"0\r\n":
        if line.startswith(b"data: ") and b"process_completed" in line:
            receipt = json.loads(line[6:])["output"]["data"][0]
    await reader.readline()
    return receipt


Vote = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Ready], Awaitable[str]]


async def load(port: int, waiting: Iterator[Ready], cast: Vote, *, seconds: float) -> Load:
    """Let all clients vote without a pause, for some seconds."""
    ends_at = time.perf_counter() + seconds
    latencies: list[float] = []
    receipts: list[str] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < ends_at:
            battle = next(waiting)
            begin = time.perf_counter()
            receipts.append(await cast(reader, writer, battle))
            latencies.append(1000 * (time.perf_counter() - begin))
        writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(N_CLIENTS)))
    return Load(len(receipts), time.perf_counter() - begin, latencies, receipts)


def open_battles(store: Store, n_battles: int) -> list[Ready]:
    """Open a battle each for as many raters."""
    arena = Arena(store, FakeSource(), settings=SETTINGS)

    async def open_one() -> Ready:
        rater = arena.identity.new_rater("visitor")
        view = await arena.next(rater)
        return Ready(arena.identity.rater_cookie(rater), view.token)  # type: ignore[union-attr]

    async def open_all() -> list[Ready]:
        ready = []
        for start in range(0, n_battles, 64):
            some = range(start, min(start + 64, n_battles))
            ready += await asyncio.gather(*(open_one() for _ in some))
        return ready

    ready = asyncio.run(open_all())
    arena.close()
    return ready


# the measurements


def measure_votes(folder: Path, *, rounds: int, seconds: float) -> dict[str, Any]:
    """Load both servers in turns; look up every receipt."""
    kinds: dict[str, Vote] = {"api": vote_by_route, "queue": vote_by_queue}
    all_s = (rounds + 1) * seconds
    n_battles = {"api": int(all_s * 1600) + N_CLIENTS, "queue": int(all_s * 400) + N_CLIENTS}
    loads: dict[str, list[Load]] = {kind: [] for kind in kinds}
    stores = {kind: open_store(folder / kind) for kind in kinds}
    waiting = {kind: iter(open_battles(stores[kind], n_battles[kind])) for kind in kinds}
    with server("api", folder / "api") as (api, _), server("queue", folder / "queue") as (queue, _):
        for number in range(rounds + 1):
            for kind, port in (("api", api), ("queue", queue)):
                done = asyncio.run(load(port, waiting[kind], kinds[kind], seconds=seconds))
                if number:  # the first round warms up
                    loads[kind].append(done)
                else:
                    loads[kind + "-warm"] = [done]
    result: dict[str, Any] = {}
    for kind in kinds:
        receipts = [r for done in [*loads[kind], *loads[kind + "-warm"]] for r in done.receipts]
        with stores[kind].engine.connect() as connection:
            kept = list(connection.scalars(sa.select(vote.c.receipt)))
        result[kind] = {
            "votes_per_s": statistics.median(done.per_s for done in loads[kind]),
            "p95_ms": statistics.median(done.p95_ms for done in loads[kind]),
            "n_votes": len(receipts),
            "lost": len(set(receipts) - set(kept)),
            "doubled": len(kept) - len(set(kept)),
        }
        stores[kind].close()
    ratios = [a.per_s / b.per_s for a, b in zip(loads["api"], loads["queue"], strict=True)]
    result["ratio"] = statistics.median(ratios)
    return result


async def visit(port: int, number: int) -> None:
    """Do what a visitor's browser does: page, session, battle, and the event that draws it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await request(reader, writer, message("GET", "/", cookie=""))
    writer.write(message("POST", "/api/session", cookie="", body={}))
    head = await reader.readuntil(b"\r\n\r\n")
    cookie = head.decode().split(f"{RATER_COOKIE}=")[1].split(";")[0]
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
    await reader.readexactly(length)
    await request(reader, writer, message("POST", "/api/battle", cookie=cookie, body={}))
    body = {"data": [], "fn_index": 0, "session_hash": f"visitor{number}"}
    join = message("POST", "/gradio_api/queue/join", cookie=cookie, body=body)
    status, content = await request(reader, writer, join)
    assert status == 200, content
    path = f"/gradio_api/queue/data?session_hash=visitor{number}"
    writer.write(message("GET", path, cookie=cookie))
    while await reader.readline() != b"0\r\n":
        pass
    writer.close()


async def visit_all(port: int, numbers: range) -> None:
    """Let visitors come, eight at a time."""
    for start in range(0, len(numbers), 8):
        await asyncio.gather(*(visit(port, number) for number in numbers[start : start + 8]))


def first_byte_s(port: int) -> float:
    """Return how long the first page takes, sent whole."""
    from urllib.request import urlopen

    begin = time.perf_counter()
    with urlopen(f"http://127.0.0.1:{port}/") as page:
        page.read()
    return time.perf_counter() - begin


def measure_page(folder: Path, *, n_visitors: int = 1000) -> dict[str, float]:
    """Start the arena with its page; measure start, first page and memory a visitor."""
    begin = time.perf_counter()
    with server("page", folder / "page") as (port, pid):
        start_s = time.perf_counter() - begin
        page_s = first_byte_s(port)
        process = psutil.Process(pid)
        asyncio.run(visit_all(port, range(200)))  # caches fill
        before = process.memory_info().rss
        asyncio.run(visit_all(port, range(200, 200 + n_visitors)))
        grown = process.memory_info().rss - before
    return {
        "start_s": start_s,
        "first_page_s": page_s,
        "kib_per_visitor": grown / 1024 / n_visitors,
        "rest_mib": before / 2**20,
    }


def main() -> None:
    """Measure, print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=("api", "queue", "page"), help=argparse.SUPPRESS)
    parser.add_argument("--workspace", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    if options.serve:
        run_server(options.serve, options.workspace)
        return
    os.sched_setaffinity(0, set(range(1, os.cpu_count() or 2)))
    with tempfile.TemporaryDirectory() as folder:
        found = measure_votes(Path(folder), rounds=options.rounds, seconds=options.seconds)
        found["page"] = measure_page(Path(folder))
    found["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {sys.version[:7]}"
    for kind in ("api", "queue"):
        row = found[kind]
        print(
            f"{kind:6} {row['votes_per_s']:7.0f} votes/s  p95 {row['p95_ms']:6.0f} ms  "
            f"{row['n_votes']} votes, {row['lost']} lost, {row['doubled']} doubled"
        )
    print(f"ratio  {found['ratio']:.1f}")
    print("page   " + ", ".join(f"{name} {value:.2f}" for name, value in found["page"].items()))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
