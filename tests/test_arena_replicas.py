"""Two replicas on PostgreSQL behind a proxy that sends every request to the other one."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from threading import Event, Lock, Thread

import pytest
import sqlalchemy as sa

from evalcore.store import Store, open_store
from evalcore.store.arena_schema import battle, vote, vote_event


class Proxy:
    """Connects each client to the next server in turn; knows no client again."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = cycle(ports)
        self._lock = Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with self._lock:
            port = next(self._ports)
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
            back = Thread(target=copy, args=(server, client), daemon=True)
            back.start()
            copy(client, server)
            back.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@dataclass
class Replicas:
    """Two servers, the proxy before them and their database."""

    front: object
    servers: list
    store: Store

    def rows(self, table: sa.Table) -> list[sa.Row]:
        with self.store.engine.connect() as connection:
            return list(connection.execute(table.select()))


@pytest.fixture
def replicas(start_arena: Callable, postgres, tmp_path: Path) -> Iterator[Replicas]:
    servers = [start_arena(tmp_path / name, postgres.url) for name in ("one", "two")]
    store = open_store(tmp_path, postgres.url)
    with closing(Proxy([server.port for server in servers])) as proxy, store:
        yield Replicas(replace(servers[0], port=proxy.port), servers, store)
        for server in servers:
            with suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGKILL)


def vote_of(view: dict, choice: str = "left") -> dict:
    return {"token": view["token"], "choice": choice, "reveal": True}


@pytest.mark.slow
def test_battle_and_vote_are_the_same_on_both(replicas: Replicas):
    front, cookie = replicas.front, replicas.front.sign_in()
    views = [server.post("battle", {}, cookie=cookie)[1]["battle"] for server in replicas.servers]
    assert views[0]["turns"] == views[1]["turns"]
    assert views[0]["token"] == views[1]["token"]
    receipts = [front.post("vote", vote_of(views[0]), cookie=cookie)[1] for _ in range(4)]
    assert all(receipt == receipts[0] for receipt in receipts)
    assert len(replicas.rows(vote)) == 1


@pytest.mark.slow
def test_races_between_replicas_make_one_battle_and_one_vote(replicas: Replicas):
    cookie = replicas.front.sign_in()
    with ThreadPoolExecutor(16) as pool:
        ask = lambda _: replicas.front.post("battle", {}, cookie=cookie)[1]["battle"]  # noqa: E731
        views = list(pool.map(ask, range(16)))
        assert len({view["battle_id"] for view in views}) == 1
        cast = lambda _: replicas.front.post("vote", vote_of(views[0]), cookie=cookie)  # noqa: E731
        answers = list(pool.map(cast, range(16)))
    assert {status for status, _, _ in answers} == {200}
    assert len({answer["receipt"]["id"] for _, answer, _ in answers}) == 1
    assert len(replicas.rows(battle)) == len(replicas.rows(vote)) == 1
    assert [row.kind for row in replicas.rows(vote_event)] == ["cast"]
    assert len(list(replicas.store.comparisons())) == 1


@pytest.mark.slow
def test_different_choices_at_the_same_moment_leave_one_sealed(replicas: Replicas):
    cookie = replicas.front.sign_in()
    view = replicas.front.post("battle", {}, cookie=cookie)[1]["battle"]
    with ThreadPoolExecutor(4) as pool:
        choices = ["left", "right", "tie", "both_bad"]
        cast = lambda choice: replicas.front.post(  # noqa: E731
            "vote", vote_of(view, choice), cookie=cookie
        )
        statuses = sorted(status for status, _, _ in pool.map(cast, choices))
    assert statuses == [200, 409, 409, 409]
    assert len(list(replicas.store.comparisons())) == 1


@pytest.mark.slow
def test_killed_replica_loses_no_receipt(replicas: Replicas):
    receipts: dict[str, str] = {}
    with ThreadPoolExecutor(4) as pool:
        under_way = Event()
        voting = [pool.submit(vote_often, replicas.front, receipts, under_way) for _ in range(4)]
        assert under_way.wait(60)
        os.kill(replicas.servers[0].pid, signal.SIGKILL)
        assert [future.result() for future in voting] == [20] * 4
    kept = {row.battle_id: row.receipt for row in replicas.rows(vote)}
    casts = Counter(row.battle_id for row in replicas.rows(vote_event) if row.kind == "cast")
    assert len(receipts) == 80
    assert receipts.items() <= kept.items()
    assert set(casts.values()) == {1}


def vote_often(front, receipts: dict[str, str], under_way: Event) -> int:
    """Vote on twenty battles and try again where a replica is gone, as the page does."""
    cookie = front.sign_in()
    for _ in range(20):
        view = patiently(front, "battle", {}, cookie)["battle"]
        answer = patiently(front, "vote", vote_of(view), cookie)
        receipts[view["battle_id"]] = answer["receipt"]["id"]
        if len(receipts) >= 10:
            under_way.set()
    return 20


def patiently(front, name: str, body: object, cookie: str) -> dict:
    for _ in range(50):
        with suppress(OSError, ValueError):
            status, answer, _ = front.post(name, body, cookie=cookie)
            if status == 200:
                return answer
    raise AssertionError(f"{name} was never answered")
