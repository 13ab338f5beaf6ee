"""The voting page in a real browser, over the real service and a real store; stored answers."""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, TimeoutError, expect
from sqlalchemy.engine import Connection

from arena.accounts import add_user
from arena.admin.pages import with_admin
from arena.arena import Arena
from arena.fake import FakeSource
from arena.page.layout import page_of
from arena.records import Ballot, Finished, Form, Pairing, Rater, Waiting
from arena.service import create_app
from arena.settings import ArenaSettings, Question
from evalcore.hashing import content_hash
from evalcore.records import Example, Message
from evalcore.store import Store, arena_schema, open_store

pytestmark = pytest.mark.browser

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PASSWORD = "correct horse battery"
PATIENCE_MS = 30_000
NAMES = ("Sentinelkoala-7319", "Sentinelalpaca-7319")
MODELS = ("fingerprint-7319-a", "fingerprint-7319-b")
SECRETS = re.compile("sentinel|fingerprint-7319", re.IGNORECASE)
ANSWERS = {  # readable: the pictures in the README are made of them
    "What is the difference between bubble sort and merge sort, and which one should I use?": (
        r"""**Bubble sort** compares neighbours and swaps them until nothing moves; **merge sort**
splits the list, sorts the halves and merges them.

| | Bubble sort | Merge sort |
|--|--|--|
| Time (worst) | $O(n^2)$ | $O(n \log n)$ |
| Extra memory | $O(1)$ | $O(n)$ |
| Stable | yes | yes |

```python
def merge_sort(items: list[int]) -> list[int]:
    if len(items) < 2:
        return items
    middle = len(items) // 2
    return merge(merge_sort(items[:middle]), merge_sort(items[middle:]))
```

For long lists merge sort wins clearly: $T(n) = 2\,T(n/2) + n = n \log_2 n$.
""",
        r"""Think of sorting a hand of cards.

1. *Bubble sort* walks along the hand again and again and swaps any two neighbours in the wrong
   order. Simple, but slow: $n$ cards take about $\frac{n(n-1)}{2}$ comparisons.
2. *Merge sort* deals the hand into two piles, sorts each, and then takes the smaller top card
   each time.

> Rule of thumb: below 20 items nobody will notice; above 1,000 everybody will.

Use `sorted(items)` in practice: Python's own sort is a refined merge sort.
""",
    ),
    "Why is the sky blue?": ("Air scatters *blue* light most.", "It reflects the ocean."),
    "Name a prime number above 100.": ("101", "**103** is one of them."),
}
HOSTILE = "\n\n".join(
    (
        "<script>window.hacked = 1</script>",
        "<img src=x onerror='window.hacked = 1'>",
        "<svg onload='window.hacked = 1'></svg>",
        "<div style='position:fixed;inset:0;z-index:9999;background:red'>overlay</div>",
        "<form action='https://evil.example'><button id='choice-left'>A is better</button></form>",
        "<style>#bar { display: none }</style>",
        "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe>",
        "![beacon](https://evil.example/pixel.png)",
        "[a link](javascript:window.hacked=1)",
        '```mermaid\ngraph TD; A-->B; click A href "javascript:window.hacked=1"\n```',
        r"$\text{<form><button id='choice-right'>x</button></form>}$ \href{javascript:1}{x}",
        "gr.HTML('<b id=bar>')",
        "# " + "W" * 3000,
        "|" + "a|" * 200 + "\n|" + "-|" * 200,
    )
)


class StoredPairs(FakeSource):
    """The same prompts with the same answers for everybody."""

    def __init__(
        self,
        pairs: dict[str, tuple[str, ...]],
        *,
        form: Form | None = None,
        names: tuple[str, ...] = NAMES,
    ) -> None:
        super().__init__(MODELS, n_items=len(pairs))
        self._pairs = list(pairs.items())
        self._shown_names = names
        self._wanted = form or Form(reasons=("correct", "helpful", "clear"))

    def next_battle(
        self, connection: Connection, rater: Rater, *, prompt: str | None
    ) -> Pairing | Waiting | Finished:
        pairing = super().next_battle(connection, rater, prompt=prompt)
        if not isinstance(pairing, Pairing):
            return pairing
        asked, answers = self._pairs[int(pairing.item or 0)]
        n = len(answers)
        return replace(
            pairing,
            models=(*(MODELS if self._shown_names is NAMES else self._shown_names), "third")[:n],
            names=(*self._shown_names, "Sentinelalpaca-7320")[:n],
            example=Example(
                id=content_hash(asked), messages=(Message(role="user", content=asked),)
            ),
            answers=tuple((answer,) for answer in answers),
            sides=tuple(range(n)),
            form=self._wanted,
        )


@dataclass(frozen=True)
class Site:
    """A running arena."""

    url: str
    store: Store
    arena: Arena

    def rows(self, table: sa.Table) -> list:
        with self.store.engine.connect() as connection:
            return connection.execute(table.select()).all()


@pytest.fixture(scope="module")
def make_site(serve, tmp_path_factory) -> Iterator[Callable[..., Site]]:
    opened: list = []

    def make(
        pairs=ANSWERS,
        *,
        form: Form | None = None,
        names: tuple[str, ...] = NAMES,
        n_answers: int = 2,
        **settings,
    ) -> Site:
        store = open_store(tmp_path_factory.mktemp("arena"))
        held = ArenaSettings(**{"secret": "s" * 40, "title": "Koala study"} | settings)
        arena = Arena(store, StoredPairs(pairs, form=form, names=names), settings=held)
        opened.extend((store, arena))
        mount = with_admin(arena, store, page_of(arena, n_answers=n_answers))
        return Site(serve(lambda: create_app(arena, mount=mount)), store, arena)

    yield make
    for thing in reversed(opened):
        thing.close()


@pytest.fixture(scope="module")
def site(make_site) -> Site:
    return make_site()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open the page as a new visitor and wait for a battle; a page error fails the test."""
    contexts, errors = [], []

    def open_page(site: Site, *, phase: str = "ready", **options) -> Page:
        still = {"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce"}
        context = chromium.new_context(**still | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        asked: list[str] = []
        page.on("requestfinished", lambda request: asked.append(f"done {request.url}"))
        page.on("requestfailed", lambda request: asked.append(f"failed {request.url}"))
        page.goto(site.url)
        try:
            wait_for(page, phase)
        except TimeoutError:
            pytest.fail(f"no {phase}: {page.content()[-6000:]}\n" + "\n".join(asked))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture(scope="module")
def visitor(site: Site) -> Iterator[httpx.Client]:
    """Ask as somebody whom the arena knows, without a browser."""
    with httpx.Client(timeout=60) as client:
        assert client.post(f"{site.url}/api/session", json={}).status_code == 200
        yield client


def wait_for(page: Page, phase: str) -> None:
    page.wait_for_selector(f'body[data-phase="{phase}"]', timeout=PATIENCE_MS)


def status(page: Page) -> str:
    return page.locator("#status").inner_text()


def votes_of(site: Site, page: Page) -> list:
    """Return the votes on the battle that the page shows."""
    shown = page.locator(".vessel").first.get_attribute("class") or ""
    battle_id = shown.split("complete-")[1].split("-")[0]
    return [vote for vote in site.rows(arena_schema.vote) if vote.battle_id == battle_id]


def test_a_vote_can_be_undone_until_the_names_are_told_and_the_next_battle_follows(site, visit):
    page = visit(site)
    page.keyboard.press("1")
    wait_for(page, "recorded")
    assert status(page) == "Recorded: A is better"
    page.keyboard.press("u")
    wait_for(page, "ready")
    page.get_by_role("button", name="Tie").click()
    wait_for(page, "recorded")
    (vote,) = votes_of(site, page)
    assert (vote.choice, vote.revision) == ("tie", 2)
    page.keyboard.press("Enter")
    wait_for(page, "revealed")
    assert page.locator(".answer-name").all_inner_texts() == list(NAMES)
    page.keyboard.press("Enter")
    expect(page.locator("#conversation")).to_contain_text("Why is the sky blue?")


def test_names_come_by_themselves_after_the_vote(site, visit):
    page = visit(site)
    page.keyboard.press("ArrowRight")
    wait_for(page, "revealed")
    assert status(page) == f"A was {NAMES[0]}, B was {NAMES[1]}"


def test_no_name_reaches_the_browser_before_the_vote(site, visit, chromium):
    """The bodies of all answers, the page, its storages, and Gradio's configuration."""
    context = chromium.new_context()
    page, bodies = context.new_page(), []
    page.on("response", lambda response: bodies.append(response))
    page.goto(site.url)
    wait_for(page, "ready")
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    config = context.request.get(f"{site.url}/config").text()
    streams = page.evaluate("document.querySelector('#answers').innerText")
    texts = [r.text() for r in bodies if r.ok and "queue/data" not in r.url]
    for text in [page.content(), kept, config, streams, *texts]:
        assert not SECRETS.search(text)
    page.keyboard.press("1")
    wait_for(page, "recorded")
    assert not SECRETS.search(page.content())
    page.keyboard.press("Enter")
    wait_for(page, "revealed")
    assert SECRETS.search(page.content())
    context.close()


def test_the_stream_of_a_battle_names_nobody(site, visit):
    """What Gradio's queue sends, read as the browser reads it."""
    page = visit(site)
    text = page.evaluate(
        """async () => {
            const session_hash = "listener1";
            const join = {data: [], fn_index: 0, session_hash, trigger_id: null, event_data: null};
            await fetch("gradio_api/queue/join", {method: "POST", body: JSON.stringify(join),
                headers: {"Content-Type": "application/json"}});
            const stream = await fetch(`gradio_api/queue/data?session_hash=${session_hash}`);
            return await stream.text();
        }"""
    )
    assert "process_completed" in text
    assert "merge sort" in text
    assert not SECRETS.search(text)


def press_at_once(page: Page, keys: Sequence[str]) -> None:
    """Send keys within one task of the browser: no time for anything between them."""
    page.evaluate(
        """keys => keys.forEach((key) =>
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))""",
        list(keys),
    )


def test_hasty_keys_and_replays_make_one_vote(site, visit):
    page = visit(site)
    with page.expect_request("**/api/vote") as sent:
        press_at_once(page, ["2", "1", "3"])
    wait_for(page, "recorded")
    replay = """([body, n]) => Promise.all(Array.from({length: n}, () => fetch("api/vote", {
        method: "POST", body, headers: {"Content-Type": "application/json"},
    }).then((answer) => answer.json())))"""
    answers = page.evaluate(replay, [sent.value.post_data, 20])
    (vote,) = votes_of(site, page)
    assert {answer["receipt"]["id"] for answer in answers} == {vote.receipt}
    assert (vote.choice, vote.revision) == ("right", 1)


def test_after_the_reveal_no_replay_changes_the_vote(site, visit):
    page = visit(site)
    with page.expect_request("**/api/vote") as sent:
        page.keyboard.press("1")
    wait_for(page, "recorded")
    page.keyboard.press("Enter")
    wait_for(page, "revealed")
    other = json.loads(sent.value.post_data) | {"choice": "right"}
    assert page.context.request.post(f"{site.url}/api/vote", data=other).status == 409
    assert [vote.choice for vote in votes_of(site, page)] == ["left"]


def test_a_stolen_token_is_worth_nothing_to_another_visitor(site, visit):
    victim, thief = visit(site), visit(site)
    with victim.expect_request("**/api/vote") as sent:
        victim.keyboard.press("3")
    wait_for(victim, "recorded")
    stolen = json.loads(sent.value.post_data) | {"choice": "left", "reveal": True}
    answer = thief.context.request.post(f"{site.url}/api/vote", data=stolen)
    assert answer.status == 404
    assert not SECRETS.search(answer.text())
    assert [vote.choice for vote in votes_of(site, victim)] == ["tie"]


def test_hostile_answers_stay_in_their_cards(make_site, visit):
    hostile = make_site({"Attack!": (HOSTILE, HOSTILE)})
    page = visit(hostile)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    wait_for(page, "ready")
    assert page.evaluate("window.hacked") is None
    assert not [url for url in asked if not url.startswith((hostile.url, "data:"))]
    assert page.locator("#choice-left").count() == 1
    inside = page.locator(".vessel")
    forbidden = "form, button, img, svg, iframe, script, style, [id], [style]"
    assert inside.locator(forbidden).count() == 0
    overhang = page.evaluate(
        """() => [...document.querySelectorAll(".answer")].map((card) => {
            const outer = card.getBoundingClientRect();
            return Math.max(...[...card.querySelectorAll(".vessel *")].filter(
                (e) => !e.closest("pre, .table, .formula, math")
            ).map((e) => e.getBoundingClientRect().right - outer.right));
        })"""
    )
    assert max(overhang) <= 0
    page.locator("#choice-left").click()
    wait_for(page, "recorded")


def test_the_page_asks_for_nothing_outside_of_this_machine(site, chromium):
    context = chromium.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.url)
    wait_for(page, "ready")
    assert len(asked) > 10
    assert not [url for url in asked if not url.startswith((site.url, "data:"))]
    context.close()


def test_a_reload_shows_the_same_battle_on_the_same_sides(site, visit):
    page = visit(site)
    before = page.locator(".vessel").evaluate_all("all => all.map((v) => v.outerHTML)")
    page.reload()
    wait_for(page, "ready")
    assert page.locator(".vessel").evaluate_all("all => all.map((v) => v.outerHTML)") == before
    page.keyboard.press("4")
    wait_for(page, "recorded")
    page.reload()
    wait_for(page, "recorded")
    assert status(page) == "Recorded: Both bad"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(site, visit, scheme, width):
    page = visit(site, color_scheme=scheme, viewport={"width": width, "height": 844})
    check_with_axe(page)
    page.keyboard.press("1")
    wait_for(page, "recorded")
    check_with_axe(page)
    page.keyboard.press("Enter")
    wait_for(page, "revealed")
    page.click("#menu-button")
    check_with_axe(page)


def check_with_axe(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, json.dumps(serious, indent=1)[:3000]


def test_a_vote_with_the_keyboard_alone(site, visit):
    page = visit(site)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "choice-left":
            break
    assert page.evaluate("document.activeElement.id") == "choice-left"
    assert page.locator("#choice-left").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    wait_for(page, "recorded")
    assert page.evaluate("document.activeElement.id") == "go-on"
    assert page.locator("#status").get_attribute("aria-live") == "polite"


def test_the_vote_bar_stays_in_sight_on_a_phone(site, visit):
    page = visit(site, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for place in (0, 400, 100_000):
        page.evaluate("y => window.scrollTo(0, y)", place)
        for choice in ("left", "right", "tie", "both_bad"):
            box = page.locator(f"#choice-{choice}").bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 844
            assert box["height"] >= 44


def test_dark_follows_the_system_and_the_visitor(site, visit):
    page = visit(site, color_scheme="dark")
    body = page.locator("body")
    expect(body).to_have_css("background-color", "rgb(19, 19, 22)")
    page.click("#menu-button")
    page.select_option("#theme", "light")
    expect(body).to_have_css("background-color", "rgb(245, 244, 240)")


def test_the_page_speaks_the_visitors_language(site, visit):
    page = visit(site, locale="vi-VN")
    assert page.locator("#choice-tie").inner_text().endswith("Hòa")
    page.click("#menu-button")
    page.select_option("#language", "zh")
    expect(page.locator("#choice-tie")).to_contain_text("平局")
    assert page.evaluate("document.documentElement.lang") == "zh"
    page.reload()
    wait_for(page, "ready")
    expect(page.locator("#choice-tie")).to_contain_text("平局")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/deep_link?session_hash=x"),
        ("GET", "/monitoring/summary"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("POST", "/gradio_api/run/draw"),
        ("POST", "/gradio_api/call/draw"),
        ("GET", "/gradio_api/info"),
        ("GET", "/docs"),
    ],
)
def test_routes_that_the_page_does_not_need_are_not_there(site, visitor, method, path):
    assert visitor.request(method, site.url + path).status_code == 404


def test_another_sites_page_is_refused(site, visitor):
    headers = {"Origin": "https://evil.example"}
    answer = visitor.post(f"{site.url}/api/battle", json={}, headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_reasons_and_a_comment_go_with_the_vote(site, visit):
    page = visit(site)
    page.click("#more")
    page.get_by_label("More helpful").check()
    page.fill("#comment", "Short and right.")
    page.locator("#more-dialog .primary").click()
    page.keyboard.press("2")
    wait_for(page, "recorded")
    (vote,) = votes_of(site, page)
    assert (vote.choice, vote.reasons, vote.comment) == ("right", ["helpful"], "Short and right.")
    assert vote.visible_ms >= 0


def test_a_skip_says_why_and_makes_no_vote(site, visit):
    page = visit(site)
    before = len(site.rows(arena_schema.vote))
    page.keyboard.press("s")
    page.get_by_role("button", name="The prompt is unclear").click()
    expect(page.locator("#conversation")).to_contain_text("Why is the sky blue?")
    assert len(site.rows(arena_schema.vote)) == before
    assert "unclear" in {battle.reason for battle in site.rows(arena_schema.battle)}


def test_a_mistake_is_reported_after_the_reveal(site, visit):
    page = visit(site)
    page.keyboard.press("1")
    wait_for(page, "recorded")
    page.keyboard.press("Enter")
    wait_for(page, "revealed")
    page.click("#mistake")
    expect(page.locator("#status")).to_contain_text("left out of the ratings")
    assert [vote.status for vote in votes_of(site, page)] == ["mistaken"]


def test_the_end_is_said(make_site, visit):
    page = visit(make_site({"Only one?": ("yes", "no")}))
    for key in ("1", "Enter", "Enter"):
        page.keyboard.press(key)
        page.wait_for_timeout(500)
    wait_for(page, "finished")
    assert "Thank you" in status(page)


def test_terms_and_instructions_come_first(make_site, visit):
    site = make_site(consent_text="You vote *blindly*.", instructions="Judge **help** first.")
    page = visit(site, phase="loading")
    expect(page.locator("#consent-text em")).to_have_text("blindly")
    page.keyboard.press("Escape")
    page.click("#agree")
    expect(page.locator("#instructions-text strong")).to_have_text("help")
    page.locator("#instructions-dialog .primary").click()
    wait_for(page, "ready")
    assert len(site.rows(arena_schema.consent)) == 1


def test_three_answers_are_ranked_and_rated(make_site, visit):
    form = Form(kind="ranking", scales={"quality": (1, 5)}, allows_tie=True)
    question = Question(text="How good is it?", low_text="bad", high_text="good")
    site = make_site(
        {"Say hello.": ("Hello.", "Good day to you!", "Hi")},
        form=form,
        n_answers=3,
        questions={"quality": question},
    )
    page = visit(site)
    assert page.locator("#submit").is_disabled()
    for position, rank in enumerate((2, 1, 2)):
        card = page.locator(".answer").nth(position)
        card.get_by_role("group", name="Rank").get_by_label(str(rank), exact=True).check()
        card.get_by_role("group", name="How good is it?").get_by_label("4", exact=True).check()
    check_with_axe(page)
    page.click("#submit")
    wait_for(page, "recorded")
    (vote,) = site.rows(arena_schema.vote)
    assert (vote.choice, vote.ranking) == (None, [2, 1, 2])
    assert vote.ratings == {"quality": [4, 4, 4]}


PICTURES = {
    "arena-desktop-light": {},
    "arena-desktop-dark": {"color_scheme": "dark"},
    "arena-phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
}


@pytest.fixture
def picture(chromium: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Open a page to be photographed; pictures go to docs/images if PARITY_PICTURES is set."""
    contexts = []
    folder = IMAGES if os.environ.get("PARITY_PICTURES") else tmp_path

    def open_page(url: str, name: str, **options) -> tuple[Page, Path]:
        shown = {"viewport": {"width": 1280, "height": 800}, "device_scale_factor": 1.5} | options
        contexts.append(context := chromium.new_context(**shown, reduced_motion="reduce"))
        page = context.new_page()
        page.goto(url)
        return page, folder / f"{name}.png"

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def koala(make_site, tmp_path_factory) -> Site:
    """A site whose names are fit to be printed, with an administrator."""
    users = tmp_path_factory.mktemp("users") / "users"
    add_user(users, "admin", PASSWORD, role="admin")
    site = make_site(names=("koala-13b", "alpaca-13b"), users_file=users)
    with ThreadPoolExecutor(1) as pool:  # this thread's event loop is the browser's
        pool.submit(lambda: asyncio.run(cast(site.arena, n_raters=24))).result()
    return site


async def cast(arena: Arena, *, n_raters: int) -> None:
    """Let made-up raters vote on the first battle: the left answer wins more often than not."""
    for number in range(n_raters):
        rater = arena.identity.new_rater("visitor")
        view = await arena.next(rater)
        choice = ("left", "left", "tie", "left", "right", "left")[number % 6]
        ballot = Ballot(choice=choice, visible_ms=9000 + 400 * number)
        await arena.vote(rater, view.token, ballot, reveal=True)


@pytest.mark.parametrize("name", PICTURES)
def test_picture_of_a_battle(koala, picture, name):
    page, path = picture(koala.url, name, **PICTURES[name])
    wait_for(page, "ready")
    assert len(page.screenshot(path=path)) > 20_000


def test_picture_of_the_reveal_and_of_the_administrators_page(koala, picture):
    page, path = picture(koala.url, "arena-reveal")
    wait_for(page, "ready")
    page.keyboard.press("1")
    wait_for(page, "recorded")
    page.keyboard.press("Enter")
    wait_for(page, "revealed")
    assert len(page.screenshot(path=path)) > 20_000
    page, path = picture(f"{koala.url}/admin", "arena-admin")
    page.fill("[name=name]", "admin")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("koala-13b").first).to_be_visible()
    assert len(page.screenshot(path=path)) > 20_000


def test_picture_of_a_study_that_ranks(make_site, picture):
    form = Form(kind="ranking", scales={"help": (1, 5)}, reasons=("correct", "clear"))
    question = Question(text="How helpful is it?", low_text="not at all", high_text="very")
    answers = ("Heat rises, so the top is warmest.", "*It depends* on the oven.", "The middle.")
    site = make_site(
        {"Which shelf of an oven is the hottest?": answers},
        form=form,
        n_answers=3,
        title="Kitchen study",
        questions={"help": question},
    )
    page, path = picture(site.url, "arena-study")
    wait_for(page, "ready")
    for position, rank in enumerate((2, 1, 2)):
        page.locator(f"[name=scale-rank-{position}][value='{rank}']").check()
    assert len(page.screenshot(path=path)) > 20_000


def test_a_vote_outlives_a_server_that_is_away(site, visit):
    page, sent, is_away = visit(site), [], True

    def abort_while_away(route) -> None:
        sent.append(route.request.post_data)
        route.abort() if is_away else route.continue_()

    page.route("**/api/vote", abort_while_away)
    page.keyboard.press("2")
    expect(page.locator("#status")).to_contain_text("Nothing is lost")
    is_away = False
    wait_for(page, "recorded")
    assert len(set(sent)) == 1
    assert [vote.choice for vote in votes_of(site, page)] == ["right"]


def test_a_store_that_is_away_is_told_and_tried_again(site, visit):
    page, is_away = visit(site), True
    away = json.dumps({"code": "store_unavailable", "message": "later"})

    def refuse_while_away(route) -> None:
        route.fulfill(status=503, body=away) if is_away else route.continue_()

    page.route("**/api/vote", refuse_while_away)
    page.keyboard.press("3")
    expect(page.locator("#status")).to_contain_text("Nothing is lost")
    is_away = False
    wait_for(page, "recorded")
    assert [vote.choice for vote in votes_of(site, page)] == ["tie"]


def test_a_visitor_is_forgotten_on_request(site, visit):
    page = visit(site)
    page.keyboard.press("1")
    wait_for(page, "recorded")
    (vote,) = votes_of(site, page)
    page.click("#menu-button")
    page.click('[data-forget="delete"]')
    expect(page.locator('[data-forget="delete"]')).to_have_text("Deleted.")
    wait_for(page, "ready")
    assert vote.rater not in {row.rater for row in site.rows(arena_schema.vote)}


def test_a_refused_vote_says_why_and_can_be_cast_again(site, visit):
    page, answers = visit(site), iter(["too_many", "broken"])

    def refuse_twice(route) -> None:
        code = next(answers, None)
        if code is None:
            route.continue_()
        else:
            status_code = 429 if code == "too_many" else 500
            route.fulfill(status=status_code, body=json.dumps({"code": code, "message": ""}))

    page.route("**/api/vote", refuse_twice)
    for said in ("Please wait a moment", "went wrong on our side"):
        page.keyboard.press("1")
        expect(page.locator("#status")).to_contain_text(said)
        wait_for(page, "ready")
    page.keyboard.press("1")
    wait_for(page, "recorded")
    assert [vote.revision for vote in votes_of(site, page)] == [1]


def test_what_a_training_item_teaches_is_shown_without_names(site, visit):
    page = visit(site)
    taught = {"receipt": None, "reveal": {"names": [], "note": "{right}: it counts to ten."}}
    page.route("**/api/reveal", lambda route: route.fulfill(json=taught))
    page.keyboard.press("1")
    wait_for(page, "recorded")
    page.keyboard.press("Enter")
    wait_for(page, "revealed")
    expect(page.locator("#note")).to_have_text("B is better: it counts to ten.")
    assert page.locator(".answer-name:visible").count() == 0
    page.unroute("**/api/reveal")
    page.keyboard.press("Enter")
    wait_for(page, "recorded")  # the service still waits for the real request
    expect(page.locator("#note")).to_have_text("")
