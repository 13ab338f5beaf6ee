"""A study in real browsers: rated, administered, locked."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from arena.accounts import add_user
from arena.admin.pages import with_admin
from arena.page.layout import page_of
from arena.service import create_app
from arena.settings import ArenaSettings
from arena.studies.lock import lock_study, verify_export
from arena.studies.opening import study_arena
from evalcore.store import open_store
from evalcore.votes import read_votes

pytestmark = pytest.mark.browser

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PATIENCE_MS = 30_000
PASSWORD = "correct horse"


def write_study(folder: Path) -> Path:
    lines = [
        {
            "prompt": f"Name a fruit, please ({n}).",
            "answers": {"koala": "Apple.", "alpaca": "Stone."},
        }
        for n in range(4)
    ]
    known = {"prompt": "Is 7 prime?", "answers": {"good": "Yes.", "bad": "No."}, "expected": "good"}
    training = {**known, "prompt": "Is 5 prime?", "why": "5 has no divisors but 1 and 5."}
    files = {"answers": lines, "gold": [known], "training": [training]}
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    study = {
        "name": "fruit",
        "title": "Fruit",
        "models": ["koala", "alpaca"],
        "answers": "answers.jsonl",
        "gold": {"file": "gold.jsonl", "every": 4},
        "training": "training.jsonl",
        "ratings_per_item": 2,
        "raters": 2,
        "consent": "Your votes are kept without your name.",
    }
    (folder / "study.yaml").write_text(json.dumps(study))
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def study(serve, tmp_path_factory):
    """Serve a study; return its link, store and folder."""
    folder = tmp_path_factory.mktemp("study")
    add_user(folder / "users", "boss", PASSWORD, role="admin")
    settings = ArenaSettings(secret="s" * 40, users_file=folder / "users")
    with (
        open_store(folder / "out") as store,
        study_arena(store, write_study(folder), settings=settings) as (arena, _definition),
    ):
        mount = with_admin(arena, store, page_of(arena))
        yield serve(lambda: create_app(arena, mount=mount)), store, folder


def visit(chromium: Browser, url: str) -> Page:
    context = chromium.new_context(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    return page


def rate_everything(page: Page, *, undoes: bool) -> int:
    """Agree, then vote until nothing is left; return the number of votes."""
    page.get_by_role("button", name="Agree").click()
    n_votes = 0
    while phase(page, "ready", "finished") == "ready":
        if undoes and n_votes == 1:
            page.keyboard.press("3")
            phase(page, "recorded")
            page.keyboard.press("u")
            phase(page, "ready")
        page.keyboard.press("1")
        phase(page, "recorded")
        n_votes += 1
        page.keyboard.press("Enter")
        if n_votes == 1:
            phase(page, "revealed")
            expect(page.locator("#note")).to_contain_text("5 has no divisors")
            page.keyboard.press("Enter")
        page.wait_for_selector('body:not([data-phase="recorded"])')
    return n_votes


def phase(page: Page, *wanted: str) -> str:
    """Wait for one of some phases; return which it is."""
    page.wait_for_selector(", ".join(f'body[data-phase="{name}"]' for name in wanted))
    return page.locator("body").get_attribute("data-phase")


def test_study_is_rated_administered_and_locked(study, chromium):
    url, store, folder = study
    raters = [visit(chromium, url) for _ in range(2)]
    for number, page in enumerate(raters):
        assert rate_everything(page, undoes=number == 0) == 6
        assert "koala" not in page.content().lower()
    assert len(list(store.comparisons())) == 8
    late = visit(chromium, url)
    late.get_by_role("button", name="Agree").click()
    assert phase(late, "ready", "finished") == "finished"
    late.context.close()
    office = administer(chromium, url)
    office.context.close()
    assert len(list(store.comparisons())) == 7
    forget(raters[1], url, store)
    check_export(store, folder)
    for page in raters:
        page.context.close()


def forget(page: Page, url: str, store) -> None:
    """Have a rater forgotten: the votes stay under a name that nothing leads to."""
    before = {found.rater for found in store.comparisons()}
    answer = page.request.post(f"{url}/api/forget", data={"votes": "keep"})
    assert answer.ok
    after = {found.rater for found in store.comparisons()}
    assert (len(before), len(after), len(before & after)) == (2, 2, 1)


def administer(chromium: Browser, url: str) -> Page:
    """Sign in, look, and void one counted vote."""
    page = visit(chromium, f"{url}/admin")
    check_with_axe(page)
    page.get_by_label("Name").fill("boss")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Raters")).to_be_visible()
    check_with_axe(page)
    images = IMAGES if os.environ.get("PARITY_PICTURES") else None
    page.screenshot(path=images and images / "arena-admin.png")
    page.get_by_role("link", name="Votes", exact=True).click()
    check_with_axe(page)
    row = page.get_by_role("row").filter(has_text="counted").first
    row.get_by_placeholder("reason").fill("a test")
    row.get_by_role("button", name="Void").click()
    expect(page.get_by_role("row").filter(has_text="void").first).to_be_visible()
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_text("a test")).to_be_visible()
    check_with_axe(page)
    return page


def check_with_axe(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


def check_export(store, folder: Path) -> None:
    export_hash = lock_study(store, "fruit", folder / "export", actor="boss")
    assert verify_export(folder / "export") == export_hash
    lines = (folder / "export" / "votes.jsonl").read_text().splitlines()
    votes = [json.loads(line) for line in lines]
    assert Counter(vote["kind"] for vote in votes) == {"main": 8, "gold": 2, "training": 2}
    assert Counter(vote["status"] for vote in votes)["void"] == 1
    left = Counter((vote["item"], vote["shown"][0]) for vote in votes if vote["kind"] == "main")
    assert set(left.values()) == {1}
    assert len(read_votes(folder / "export" / "comparisons.jsonl")) == 7
