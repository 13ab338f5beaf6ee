"""The database goes away, fills up or is locked: nothing is lost, and the rater is told."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from arena.arena import Arena
from arena.fake import FakeSource
from arena.records import Ballot, BattleView, Rater
from arena.refusals import Refused
from arena.service import create_app
from arena.settings import ArenaSettings
from evalcore.store import Store, open_store
from evalcore.store.arena_schema import vote

OpenArena = Callable[..., Arena]
ANN = Rater(id="ann" * 10)
LEFT = Ballot(choice="left")


def view_of(arena: Arena) -> BattleView:
    view = asyncio.run(arena.next(ANN))
    assert isinstance(view, BattleView)
    return view


def cast(arena: Arena, view: BattleView) -> str:
    return asyncio.run(arena.vote(ANN, view.token, LEFT, reveal=True))[0].id


def cast_patiently(arena: Arena, view: BattleView) -> str:
    """Cast it again while it is refused, as the page does: a busy disk takes its time, too."""
    for _ in range(100):
        try:
            return cast(arena, view)
        except Refused:
            time.sleep(0.1)
    return cast(arena, view)


def n_votes(store: Store) -> int:
    with store.engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(vote)).scalar_one()


def test_locked_database_refuses_and_then_takes_the_same_vote(
    open_arena: OpenArena, arena_store: Store
):
    arena = open_arena(store_patience_s=0.1)
    view = view_of(arena)
    other = sqlite3.connect(arena_store.engine.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Refused, match="can't be stored right now"):
        cast(arena, view)
    other.execute("ROLLBACK")
    other.close()
    assert cast_patiently(arena, view) == cast_patiently(arena, view)
    assert n_votes(arena_store) == 1


def test_lock_given_back_in_time_is_only_waited_for(open_arena: OpenArena, arena_store: Store):
    arena = open_arena(store_patience_s=30.0)
    view = view_of(arena)
    path = arena_store.engine.url.database
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, other.execute, ("ROLLBACK",)).start()
    cast(arena, view)
    other.close()
    assert n_votes(arena_store) == 1


def test_moved_database_gives_no_receipts_until_it_is_back(
    open_arena: OpenArena, arena_store: Store
):
    arena = open_arena()
    view = view_of(arena)
    path = Path(str(arena_store.engine.url.database))
    path.rename(path.with_suffix(".away"))
    for _ in range(2):
        with pytest.raises(Refused, match="can't be stored right now"):
            cast(arena, view)
    assert not path.exists()
    path.with_suffix(".away").rename(path)
    cast(arena, view)
    assert n_votes(arena_store) == 1


def test_full_disk_gives_no_receipt_and_loses_nothing(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    receipts = {cast(arena, view_of(arena)) for _ in range(3)}
    view = view_of(arena)
    fill(arena)
    with pytest.raises(Refused, match="can't be stored right now"):
        vote_for_ever(arena, view, receipts)
    arena.writer.call(lambda connection: None)
    with arena_store.engine.connect() as connection:
        kept = set(connection.scalars(sa.select(vote.c.receipt)))
    assert receipts <= kept


def vote_for_ever(arena: Arena, view: BattleView, receipts: set[str]) -> None:
    while True:
        receipts.add(cast(arena, view))
        view = view_of(arena)


def fill(arena: Arena) -> None:
    """Let the writer's database grow no more, as on a full disk: SQLite gives the same error."""

    def limit(connection: sa.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    arena.writer.call(limit)


def test_service_says_what_is_the_matter_and_stays_up(open_arena: OpenArena, arena_store: Store):
    arena = open_arena(store_patience_s=1.0)
    with TestClient(create_app(arena)) as client:
        client.post("/api/session", json={})
        token = client.post("/api/battle", json={}).json()["battle"]["token"]
        body = {"token": token, "choice": "left", "reveal": True}
        other = sqlite3.connect(arena_store.engine.url.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        refused = client.post("/api/vote", json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["code"] == "store_unavailable"
        assert client.get("/healthz").status_code == 503
        assert client.get("/metrics").status_code == 200
        other.execute("ROLLBACK")
        other.close()
        assert client.post("/api/vote", json=body).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_one_job_that_fails_takes_no_other_with_it(open_arena: OpenArena):
    arena = open_arena()
    held = threading.Event()
    first = arena.writer.submit(lambda connection: held.wait(30))  # the others wait together

    def broken(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO vote (battle_id) VALUES (NULL)"))

    jobs = [
        arena.writer.submit(work) for work in (lambda c: 1, broken, lambda c: 1 / 0, lambda c: 2)
    ]
    held.set()
    first.result(30)
    assert [jobs[0].result(30), jobs[3].result(30)] == [1, 2]
    assert isinstance(jobs[1].exception(30), Refused)
    assert isinstance(jobs[2].exception(30), ZeroDivisionError)


@pytest.mark.slow
def test_postgresql_gone_for_a_while_loses_no_vote(postgres, tmp_path: Path):
    settings = ArenaSettings(secret="s" * 32, store_patience_s=1.0)
    with open_store(tmp_path, postgres.url) as store:
        arena = Arena(store, FakeSource(), settings=settings)
        first = view_of(arena)
        receipt = cast(arena, first)
        second = view_of(arena)
        postgres.stop()
        with pytest.raises(Refused, match="can't be stored right now"):
            cast(arena, second)
        postgres.start()
        assert cast(arena, first) == receipt
        cast(arena, second)
        assert n_votes(store) == 2
        arena.close()
