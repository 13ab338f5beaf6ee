"""Who somebody is, and that nobody can be somebody else."""

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from arena.accounts import add_user, load_users
from arena.arena import Arena
from arena.identity import RATER_COOKIE
from arena.keys import Keys
from arena.records import Rater
from arena.service import create_app
from arena.settings import SECRET_VARIABLE, load_secret
from evalcore.errors import InputError

PASSWORD = "correct horse battery"
OpenArena = Callable[..., Arena]


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    add_user(path, "ann", PASSWORD, role="rater")
    add_user(path, "root", PASSWORD, role="admin")
    return path


def test_cookie_names_its_rater(open_arena: OpenArena):
    arena = open_arena()
    rater = arena.identity.new_rater("visitor")
    assert arena.identify({RATER_COOKIE: arena.identity.rater_cookie(rater)}) == rater


@pytest.mark.parametrize(
    "change", [lambda c: c[:-9] + c[-9:].swapcase(), lambda c: "A" + c, lambda c: "", str.upper]
)
def test_changed_cookie_names_nobody(open_arena: OpenArena, change: Callable[[str], str]):
    arena = open_arena()
    cookie = arena.identity.rater_cookie(Rater(id="a" * 32))
    assert arena.identify({RATER_COOKIE: change(cookie)}) is None


def test_cookie_of_another_secret_names_nobody(open_arena: OpenArena):
    arena = open_arena()
    forged = Keys("t" * 32).sign("rater", ["a" * 32, "visitor", None])
    assert arena.identify({RATER_COOKIE: forged}) is None


def test_link_is_no_cookie(open_arena: OpenArena):
    arena = open_arena(admits=("link",))
    assert arena.identify({RATER_COOKIE: arena.identity.link("", "ann")}) is None


def test_cookie_can_not_be_read_by_scripts_nor_sent_by_other_sites(open_arena: OpenArena):
    with TestClient(create_app(open_arena(secure_cookies=True))) as client:
        cookie = client.post("/api/session", json={}).headers["set-cookie"].lower()
    for word in ("httponly", "samesite=lax", "secure"):
        assert word in cookie


def test_account_is_the_same_rater_at_every_sign_in(open_arena: OpenArena, users_file: Path):
    arena = open_arena(admits=("account",), users_file=users_file)
    who = {"name": "ann", "password": PASSWORD}
    with TestClient(create_app(arena)) as client:
        raters = {client.post("/api/login", json=who).json()["rater"] for _ in range(2)}
        assert client.post("/api/battle", json={}).status_code == 200
    assert len(raters) == 1


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_wrong_sign_ins_are_refused_alike(
    open_arena: OpenArena, users_file: Path, name: str, password: str
):
    arena = open_arena(admits=("account",), users_file=users_file)
    with TestClient(create_app(arena)) as client:
        answer = client.post("/api/login", json={"name": name, "password": password})
    assert (answer.status_code, answer.json()["code"]) == (401, "login_failed")


def test_visitors_stay_out_where_accounts_are_asked(open_arena: OpenArena, users_file: Path):
    arena = open_arena(admits=("account",), users_file=users_file)
    with TestClient(create_app(arena)) as client:
        assert client.post("/api/session", json={}).status_code == 401
    cookie = arena.identity.rater_cookie(arena.identity.new_rater("visitor"))
    assert arena.identify({RATER_COOKIE: cookie}) is None


def test_account_taken_out_of_the_file_is_out(open_arena: OpenArena, users_file: Path):
    arena = open_arena(admits=("account",), users_file=users_file)
    rater = asyncio.run(arena.rater_of_account("ann", "account"))
    cookies = {RATER_COOKIE: arena.identity.rater_cookie(rater)}
    assert arena.identify(cookies) == rater
    users_file.write_text("")
    assert open_arena(admits=("account",), users_file=users_file).identify(cookies) is None


def test_link_signs_in_to_its_study_alone(open_arena: OpenArena):
    arena = open_arena(admits=("link",))
    with TestClient(create_app(arena)) as client:
        for study, status in (("", 200), ("other", 401)):
            link = arena.identity.link(study, "ann")
            assert client.post("/api/login", json={"link": link}).status_code == status
        for path, body in (("login", {"link": "guess"}), ("session", {})):
            client.cookies.clear()
            answer = client.post(f"/api/{path}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (401, "link_needed")


def test_only_administrators_are_administrators(open_arena: OpenArena, users_file: Path):
    arena = open_arena(users_file=users_file)
    found = [
        arena.identity.admin({"parity_admin": arena.identity.admin_cookie(name)})
        for name in ("root", "ann", "nobody")
    ]
    assert found == ["root", None, None]


def test_users_file_holds_no_password_and_is_the_owners_alone(users_file: Path):
    assert PASSWORD not in users_file.read_text()
    assert stat.S_IMODE(users_file.stat().st_mode) == 0o600
    assert load_users(users_file).sign_in("ann", PASSWORD) is not None


@pytest.mark.parametrize(
    ("line", "said"),
    [("ann:rater", "line 3: must be role:name"), ("rater:bob:zz:00", "must be hexadecimal")],
)
def test_bad_line_of_a_users_file_is_named(users_file: Path, line: str, said: str):
    with users_file.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=said):
        load_users(users_file)


def test_taken_names_and_short_passwords_are_refused(users_file: Path):
    with pytest.raises(InputError, match="there already"):
        add_user(users_file, "ann", PASSWORD, role="rater")
    with pytest.raises(InputError, match="needs 10 characters"):
        add_user(users_file, "bob", "short", role="rater")


def test_secret_is_made_once_and_kept_to_the_owner(tmp_path: Path, monkeypatch):
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    assert load_secret(tmp_path) == load_secret(tmp_path)
    assert stat.S_IMODE((tmp_path / "arena.key").stat().st_mode) == 0o600
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setenv(SECRET_VARIABLE, "short")
    with pytest.raises(InputError, match="needs 32 characters"):
        load_secret(tmp_path)
