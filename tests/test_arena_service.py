"""The service over HTTP: its answers, its gate, and that nothing names a model too early."""

from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from arena.arena import Arena
from arena.service import create_app

NAMES = ("sentinel-one", "sentinel-two")


@pytest.fixture
def arena(open_arena: Callable[..., Arena]) -> Arena:
    return open_arena(models=NAMES, consent_text="I agree to be asked.")


@pytest.fixture
def client(arena: Arena) -> Iterator[TestClient]:
    with TestClient(create_app(arena), base_url="http://arena.test") as client:
        yield client


def sign_in(client: TestClient) -> None:
    version = client.post("/api/session", json={}).json()["consent"]["version"]
    client.post("/api/consent", json={"version": version})


def open_battle(client: TestClient) -> dict:
    sign_in(client)
    return client.post("/api/battle", json={}).json()["battle"]


def test_a_visit_from_consent_to_reveal(client: TestClient):
    battle = open_battle(client)
    vote = {"token": battle["token"], "choice": "left", "reveal": False}
    first = client.post("/api/vote", json=vote).json()
    assert first["reveal"] is None
    assert first["receipt"]["status"] == "counted"
    told = client.post("/api/reveal", json={"token": battle["token"]}).json()
    assert set(told["reveal"]["names"]) == {f"Model {name}" for name in NAMES}
    assert client.post("/api/battle", json={}).json()["battle"]["battle_id"] != battle["battle_id"]


def test_battle_without_consent_is_refused(client: TestClient):
    client.post("/api/session", json={})
    answer = client.post("/api/battle", json={})
    assert (answer.status_code, answer.json()["code"]) == (403, "consent_needed")


def test_consent_to_another_text_is_refused(client: TestClient):
    client.post("/api/session", json={})
    assert client.post("/api/consent", json={"version": "old"}).status_code == 403


def test_nothing_names_a_model_before_the_seal(client: TestClient):
    battle = open_battle(client)
    token = {"token": battle["token"]}
    answers = [
        client.post("/api/battle", json={}),
        client.post("/api/view", json=token),
        client.post("/api/vote", json=token | {"choice": "tie"}),
        client.post("/api/undo", json=token),
        client.post("/api/vote", json=token | {"choice": "up"}),
        client.get("/metrics"),
    ]
    for answer in answers:
        assert "sentinel" not in answer.text + str(answer.headers)


def test_receipt_of_a_gold_item_looks_like_any_other(open_arena: Callable[..., Arena]):
    arena = open_arena(rated=False)
    with TestClient(create_app(arena)) as client:
        battle = open_battle(client)
        vote = {"token": battle["token"], "choice": "left"}
        receipt = client.post("/api/vote", json=vote).json()["receipt"]
    assert receipt["status"] == "counted"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/deep_link",
        "/gradio_api/run/vote",
        "/gradio_api/call/vote",
        "/gradio_api/proxy=http://example.org",
        "/gradio_api/file=/etc/passwd",
        "/monitoring/summary",
        "/docs",
        "/openapi.json",
        "/assets/../../etc/passwd",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_routes_not_on_the_list_are_not_there(client: TestClient, method: str, path: str):
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route")


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "http://arena.test.evil.test", "http://["]
)
def test_other_origins_are_refused(client: TestClient, origin: str):
    answer = client.post("/api/session", json={}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_own_origin_is_let_in(client: TestClient):
    answer = client.post("/api/session", json={}, headers={"Origin": "http://arena.test"})
    assert answer.status_code == 200


def test_answers_carry_the_headers(client: TestClient):
    for answer in (client.get("/healthz"), client.get("/nowhere"), client.post("/api/vote")):
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe-eval" not in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"


def test_large_bodies_are_refused(client: TestClient):
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 10_000

    sign_in(client)
    for content in (b" " * 400_000, pieces()):
        answer = client.post("/api/vote", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_health_says_ok_and_metrics_count_votes(client: TestClient):
    battle = open_battle(client)
    client.post("/api/vote", json={"token": battle["token"], "choice": "left"})
    assert client.get("/healthz").text == "ok\n"
    assert 'parity_arena_votes_total{status="counted"} 1.0' in client.get("/metrics").text


def test_skip_and_mistake(client: TestClient):
    battle = open_battle(client)
    token = {"token": battle["token"]}
    early = client.post("/api/mistake", json=token)
    assert early.status_code == 409
    assert client.post("/api/skip", json=token | {"reason": "no idea"}).status_code == 200
    battle = client.post("/api/battle", json={}).json()["battle"]
    token = {"token": battle["token"]}
    client.post("/api/vote", json=token | {"choice": "left", "reveal": True})
    receipt = client.post("/api/mistake", json=token).json()["receipt"]
    assert receipt["status"] == "mistaken"


def test_live_turn_in_a_study_is_refused(client: TestClient):
    battle = open_battle(client)
    answer = client.post("/api/turn", json={"token": battle["token"], "prompt": "more"})
    assert answer.status_code == 422
