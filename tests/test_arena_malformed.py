"""Ten thousand requests that make no sense: none breaks the service, none is a vote."""

import asyncio
import json
import random
import re
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from fastapi import FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

from arena.arena import Arena
from arena.headers import ALLOWED_ROUTES
from arena.identity import RATER_COOKIE
from arena.joins import JOIN_PATH
from arena.service import create_app
from evalcore.store import Store
from evalcore.store.arena_schema import vote

ROUTES = (
    *("session", "login", "logout", "consent", "forget", "battle", "view", "turn", "vote"),
    *("reveal", "undo", "skip", "mistake", "nothing", "../vote", "vote/1"),
)
FIELDS = (
    *("token", "choice", "ranking", "ratings", "reasons", "comment", "visible_ms", "reveal"),
    *("evidence", "prompt", "advance", "version", "votes", "name", "password", "link", "other"),
)
METHODS = ("POST",) * 8 + ("GET", "PUT", "DELETE", "OPTIONS")
TOGETHER = 25
TRACES = ("Traceback", "sqlalchemy", 'File "', "pydantic", ".py")

texts = st.text(max_size=30) | st.sampled_from(["left", "tie", "\x00", "' OR 1=1 --", "😀" * 300])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from(FIELDS), values, max_size=5)
bodies = objects.map(lambda found: json.dumps(found).encode()) | st.binary(max_size=80)


@pytest.fixture
def client(open_arena: Callable[..., Arena]) -> Iterator[TestClient]:
    """Give a client with a battle that waits for its vote."""
    app = create_app(open_arena())
    with TestClient(app, raise_server_exceptions=False) as client:
        client.post("/api/session", json={})
        yield client


def test_page_has_the_only_event_of_the_queue_and_not_too_often(open_arena: Callable[..., Arena]):
    arena, said = open_arena(battle_limit="3/hour"), []

    def gradio(app: FastAPI) -> None:
        @app.post(JOIN_PATH)
        async def join(request: Request) -> dict[str, str]:
            said.append(await request.json())
            return {"event_id": "1"}

    good = {"data": [], "fn_index": 0, "session_hash": "abc", "trigger_id": 1, "event_data": None}
    bad = [{"fn_index": 1}, {"fn_index": None}, {"session_hash": ""}, {"data": [1, 2]}, {"data": 1}]
    with TestClient(create_app(arena, mount=gradio)) as client:
        assert {client.post(JOIN_PATH, json=good | change).status_code for change in bad} == {422}
        assert said == []
        rater = arena.identity.new_rater("visitor")
        client.cookies.set(RATER_COOKIE, arena.identity.rater_cookie(rater))
        statuses = [client.post(JOIN_PATH, json=good).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert said == [good] * 3


def test_requests_to_nowhere_leave_nothing_in_the_figures(client: TestClient):
    for name in ("nothing", "predict", "voted"):
        assert client.post(f"/api/{name}", json={}).status_code == 404
    assert "nothing" not in (text := client.get("/metrics").text)
    assert "/api/session" in text


def test_gate_lets_through_what_the_api_has(open_arena: Callable[..., Arena]):
    app = create_app(open_arena())
    paths = [route.path for route in app.routes if route.path.startswith("/api/")]
    allowed = re.compile("|".join(path for method, path in ALLOWED_ROUTES if method == "POST"))
    assert len(paths) == 13
    assert all(map(allowed.fullmatch, paths))


async def ask(app: ASGIApp, asked: tuple[str, str, bytes, str | None]) -> tuple[int, str]:
    """Send a request past the network; return status and body."""
    method, route, body, cookie = asked
    headers = [(b"host", b"arena.test")]
    if cookie is not None:
        headers.append((b"cookie", f"{RATER_COOKIE}={cookie}".encode()))
    scope = {"type": "http", "method": method, "path": f"/api/{route}", "headers": headers}
    scope |= {
        "query_string": b"",
        "client": ("192.0.2.1", 1),
        "http_version": "1.1",
        "scheme": "http",
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:]).decode()


def some_bodies() -> list[bytes]:
    """Let Hypothesis think of a thousand; it would take 2 ms for each of ten thousand requests."""
    found: list[bytes] = []

    @settings(max_examples=1000 // TOGETHER, database=None)
    @given(st.lists(bodies, min_size=TOGETHER, max_size=TOGETHER))
    def collect(some: list[bytes]) -> None:
        found.extend(some)

    collect()
    return found


@pytest.mark.slow
def test_malformed_requests_break_nothing_and_are_no_votes(
    open_arena: Callable[..., Arena], arena_store: Store
):
    arena = open_arena(vote_limit="", battle_limit="", login_limit="")
    app, rater = create_app(arena), arena.identity.new_rater("visitor")
    known = arena.identity.rater_cookie(rater)
    rng, pool = random.Random(0), some_bodies()

    def any_request() -> tuple[str, str, bytes, str | None]:
        cookie = rng.choice([None, known, known, "", "a.b", "._-"])
        return rng.choice(METHODS), rng.choice(ROUTES), rng.choice(pool), cookie

    async def ask_together() -> None:
        asked = [any_request() for _ in range(TOGETHER)]
        answers = await asyncio.gather(*(ask(app, request) for request in asked))
        for request, (status, text) in zip(asked, answers, strict=True):
            assert status < 500, request
            assert not [trace for trace in TRACES if trace in text], request

    with asyncio.Runner() as runner:
        runner.run(arena.next(rater))
        for _ in range(10_000 // TOGETHER):
            runner.run(ask_together())
    with arena_store.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(vote)).scalar() == 0


@pytest.mark.parametrize(
    "change",
    [
        {"choice": "LEFT"},
        {"choice": None},
        {"choice": ["left"]},
        {"reveal": "yes"},
        {"visible_ms": -1},
        {"visible_ms": 10**30},
        {"comment": "x" * 5000},
        {"comment": "\x00"},
        {"comment": "\ud800"},
        {"extra": 1},
        {"ranking": [1, 2]},
        {"ratings": {"help": [1, 2]}},
        {"token": "x" * 32},
        {"token": ""},
    ],
)
def test_vote_with_one_thing_wrong_is_refused_in_one_line(
    client: TestClient, arena_store: Store, change: dict
):
    token = client.post("/api/battle", json={}).json()["battle"]["token"]
    body = {"token": token, "choice": "left", "reveal": False} | change
    answer = client.post("/api/vote", content=json.dumps(body))
    assert answer.status_code in (404, 422)
    assert "\n" not in answer.json()["message"]
    assert list(arena_store.comparisons()) == []
