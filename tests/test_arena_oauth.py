"""Signing in with an outside account, at a provider of our own on loopback."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from arena.arena import Arena
from arena.service import create_app
from evalcore.errors import InputError
from evalcore.store import Store
from evalcore.store.arena_schema import rater


class Provider(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"])).decode()
        good = "code=good" in asked and "code_verifier" in asked
        token = b'{"access_token": "t", "token_type": "Bearer"}'
        self._say(*((200, token) if good else (400, b'{"error": "invalid_grant"}')))

    def do_GET(self) -> None:
        self._say(200, b'{"sub": "person-17", "email": "ann@example.org"}')

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def oauth_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("EXAMPLE_SECRET", "shh")
    with HTTPServer(("127.0.0.1", 0), Provider) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        path = tmp_path / "oauth.yaml"
        path.write_text(
            "providers:\n"
            "  - {name: example, client_id: parity, client_secret_env: EXAMPLE_SECRET,\n"
            f"     authorize_url: {base}/a, token_url: {base}/t, userinfo_url: {base}/u}}\n"
        )
        yield path
        server.shutdown()


def sign_in(client: TestClient, *, code: str = "good", state: str | None = None) -> int:
    begun = client.get("/oauth/example", follow_redirects=False)
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    sent = {"code": code, "state": state or asked["state"][0]}
    return client.get("/oauth/example/callback", params=sent, follow_redirects=False).status_code


def test_outside_account_is_one_rater_of_whom_nothing_is_kept(
    open_arena: Callable[..., Arena], arena_store: Store, oauth_file: Path
):
    arena = open_arena(admits=("account",), oauth_file=oauth_file)
    with TestClient(create_app(arena)) as client:
        assert [sign_in(client) for _ in range(2)] == [303, 303]
        assert client.post("/api/battle", json={}).status_code == 200
    with arena_store.engine.connect() as connection:
        (row,) = connection.execute(rater.select()).all()
    assert "person-17" not in repr(row)
    assert "ann@" not in repr(row)


@pytest.mark.parametrize("change", [{"code": "bad"}, {"state": "forged"}])
def test_forged_return_is_refused(
    open_arena: Callable[..., Arena], oauth_file: Path, change: dict[str, str]
):
    arena = open_arena(admits=("account",), oauth_file=oauth_file)
    with TestClient(create_app(arena)) as client:
        assert sign_in(client, **change) == 401
        assert client.get("/oauth/other").status_code == 404


def test_missing_secret_is_named(
    open_arena: Callable[..., Arena], oauth_file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("EXAMPLE_SECRET")
    with pytest.raises(InputError, match="EXAMPLE_SECRET"):
        create_app(open_arena(oauth_file=oauth_file))
