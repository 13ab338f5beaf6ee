"""The administrators' pages, through the service."""

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest

from arena.accounts import add_user
from arena.admin.pages import mount_admin
from arena.arena import Arena
from arena.audit import first_broken_entry
from arena.fake import FakeSource
from arena.records import Ballot
from arena.service import create_app
from arena.settings import ArenaSettings
from arena.studies.lock import lock_study
from arena.studies.opening import study_arena
from evalcore.store import open_store
from evalcore.store.arena_schema import audit

PASSWORD = "correct horse"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users"
    add_user(path, "boss", PASSWORD, role="admin")
    add_user(path, "ann", PASSWORD, role="rater")
    return path


class Office:
    """A service with a vote in it, and a browser."""

    def __init__(self, arena: Arena, store) -> None:
        self.arena, self.store = arena, store
        self.app = create_app(arena, mount=lambda app: mount_admin(app, arena, store))
        self.cookies = httpx.Cookies()

    def request(self, method: str, path: str, *, data=None, origin: str | None = None):
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            headers = {} if origin is None else {"origin": origin}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost", cookies=self.cookies
            ) as client:
                found = await client.request(method, path, data=data, headers=headers)
                self.cookies = client.cookies
                return found

        return asyncio.run(ask())

    def get(self, path: str = "/admin"):
        return self.request("GET", path)

    def post(self, path: str, *, origin: str | None = None, **data: str):
        return self.request("POST", f"/admin{path}", data=data, origin=origin)

    def sign_in(self, name: str = "boss", password: str = PASSWORD):
        return self.post("/login", name=name, password=password)

    def cast(self, name: str = "visitor", comment: str = "") -> str:
        rater = self.arena.identity.new_rater("visitor", None)

        async def vote() -> str:
            view = await self.arena.next(rater)
            ballot = Ballot(choice="left", comment=comment, visible_ms=5000)
            await self.arena.vote(rater, view.token, ballot, reveal=True)
            return view.battle_id

        return asyncio.run(vote())


@pytest.fixture
def office(tmp_path: Path, users: Path):
    settings = ArenaSettings(secret="s" * 32, users_file=users, login_limit="1000/minute")
    with open_store(tmp_path / "out") as store:
        arena = Arena(store, FakeSource(), settings=settings)
        yield Office(arena, store)
        arena.close()


@pytest.mark.parametrize("path", ["/admin", "/admin/votes", "/admin/audit"])
def test_pages_are_for_administrators_alone(office: Office, path: str):
    office.cast()
    answer = office.get(path)
    assert answer.status_code == 401
    assert "alpha" not in answer.text
    office.sign_in()
    assert office.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/vote", "/rater"])
def test_acts_are_for_administrators_alone(office: Office, path: str):
    battle = office.cast()
    (comparison,) = office.store.comparisons()
    answer = office.post(path, battle=battle, action="void", reason="x", rater=comparison.rater)
    assert answer.status_code == 401
    assert len(list(office.store.comparisons())) == 1


@pytest.mark.parametrize(("name", "password"), [("boss", "wrong"), ("ann", PASSWORD), ("", "")])
def test_wrong_sign_in_is_refused(office: Office, name: str, password: str):
    answer = office.sign_in(name, password)
    assert answer.status_code == 401
    assert "Name or password is wrong" in answer.text
    assert office.get().status_code == 401


def test_sign_in_is_limited(tmp_path: Path, users: Path):
    settings = ArenaSettings(secret="s" * 32, users_file=users, login_limit="2/minute")
    with open_store(tmp_path / "out") as store:
        arena = Arena(store, FakeSource(), settings=settings)
        office = Office(arena, store)
        assert [office.sign_in(password="no").status_code for _ in range(3)] == [401, 401, 429]
        arena.close()


def test_session_ends_with_signing_out_and_with_the_account(office: Office, users: Path):
    office.sign_in()
    office.post("/logout")
    assert office.get().status_code == 401


def test_rater_cookie_is_no_session(office: Office):
    rater = office.arena.identity.new_rater("visitor", None)
    office.cookies.set("parity_admin", office.arena.identity.rater_cookie(rater))
    assert office.get().status_code == 401


def test_form_of_another_site_is_refused(office: Office):
    battle = office.cast()
    office.sign_in()
    answer = office.post(
        "/vote", origin="http://evil.example", battle=battle, action="void", reason="x"
    )
    assert answer.status_code == 403
    assert len(list(office.store.comparisons())) == 1


def test_session_cookie_is_out_of_reach_of_scripts_and_other_sites(office: Office):
    cookie = office.sign_in().headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/admin"} <= set(cookie.split("; "))


def test_standings_follow_every_vote(office: Office):
    office.sign_in()
    assert "none yet" in office.get().text
    for n in range(3):
        office.cast()
        assert f"Votes: {n + 1} " in office.get().text
    assert "alpha" in office.get().text


def test_single_vote_has_no_interval_and_no_nan(office: Office):
    office.sign_in()
    office.cast()
    assert not re.search(r"\b(nan|inf)\b", office.get().text)


def test_vote_is_voided_and_unvoided_with_its_reason_in_the_log(office: Office):
    battle = office.cast()
    office.sign_in()
    assert office.post("/vote", battle=battle, action="void", reason="bot").status_code == 303
    assert list(office.store.comparisons()) == []
    assert '1 <a href="/admin/votes?status=void">void</a>' in office.get().text
    assert office.post("/vote", battle=battle, action="unvoid", reason="no bot").status_code == 303
    assert len(list(office.store.comparisons())) == 1
    with office.store.engine.connect() as connection:
        entries = [row._asdict() for row in connection.execute(audit.select())]
        assert first_broken_entry(connection) is None
    assert [(e["actor"], e["action"], e["target"], e["detail"]["reason"]) for e in entries] == [
        ("boss", "void", battle, "bot"),
        ("boss", "unvoid", battle, "no bot"),
    ]
    log = office.get("/admin/audit").text
    assert "no bot" in log
    assert "Every entry fits" in log


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"reason": ""}, 422, "reason must be given"),
        ({"action": "delete"}, 422, "action must be one of"),
        ({"action": "unvoid"}, 422, "must have a vote that is void"),
        ({"battle": "nothing"}, 404, "no such battle"),
    ],
)
def test_act_that_can_not_be_done_says_why(office: Office, changes, status: int, said: str):
    battle = office.cast()
    office.sign_in()
    answer = office.post("/vote", **{"battle": battle, "action": "void", "reason": "x"} | changes)
    assert answer.status_code == status
    assert said in answer.text
    assert len(list(office.store.comparisons())) == 1


def test_all_votes_of_a_rater_are_voided_and_nobody_elses(office: Office):
    office.cast()
    office.cast()
    office.sign_in()
    first, second = office.store.comparisons()
    office.post("/rater", rater=first.rater, reason="bot")
    assert [found.rater for found in office.store.comparisons()] == [second.rater]


def test_votes_are_filtered_and_paged(office: Office):
    office.cast()
    office.cast()
    office.sign_in()
    first, _ = office.store.comparisons()
    assert "2 votes, 1 to 2 shown" in office.get("/admin/votes").text
    assert "1 votes, 1 to 1 shown" in office.get(f"/admin/votes?rater={first.rater}").text
    assert "0 votes" in office.get("/admin/votes?status=void").text
    assert "2 votes" in office.get("/admin/votes?offset=9999999").text
    assert office.get("/admin/votes?offset=-1e9").status_code == 200


def test_what_raters_write_is_shown_as_text(office: Office):
    office.cast(comment=HOSTILE)
    office.sign_in()
    text = office.get("/admin/votes").text
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_pages_have_no_script_but_their_own_and_nothing_from_elsewhere(office: Office):
    office.cast()
    office.sign_in()
    for path in ("/admin", "/admin/votes", "/admin/audit"):
        answer = office.get(path)
        policy = answer.headers["content-security-policy"]
        assert {"default-src 'none'", "script-src 'self'"} <= set(policy.split("; "))
        assert not re.search(r"https?://", answer.text)
        assert set(re.findall(r"<script[^>]*", answer.text)) <= {
            '<script src="/admin/live.js" defer'
        }
    assert office.get("/admin/live.js").status_code == 200


def test_locked_study_is_not_changed_any_more(tmp_path: Path, users: Path):
    line = {"prompt": "?", "answers": {"koala": "yes", "alpaca": "no"}}
    (tmp_path / "answers.jsonl").write_text(json.dumps(line))
    settings = {"name": "s", "models": ["koala", "alpaca"], "answers": "answers.jsonl"}
    (tmp_path / "study.yaml").write_text(json.dumps(settings))
    given = ArenaSettings(secret="s" * 32, users_file=users)
    with (
        open_store(tmp_path / "out") as store,
        study_arena(store, tmp_path / "study.yaml", settings=given) as (arena, _definition),
    ):
        office = Office(arena, store)
        battle = office.cast()
        office.sign_in()
        assert "Study <code>s</code>, open" in office.get().text
        lock_study(store, "s", tmp_path / "export", actor="boss")
        assert "Study <code>s</code>, locked" in office.get().text
        answer = office.post("/vote", battle=battle, action="void", reason="late")
        assert (answer.status_code, len(list(store.comparisons()))) == (422, 1)
        assert "the study is locked" in answer.text
