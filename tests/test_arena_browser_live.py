"""Live battles in a real browser: two models that write at their own speed, shown at one pace."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Page, expect
from scipy.stats import ks_2samp

from arena.live.opening import live_arena, open_live
from arena.live.settings import LiveSettings
from arena.live.source import Drawing
from arena.page.layout import page_of
from arena.service import create_app
from arena.settings import ArenaSettings
from evalcore.protocols import GenerateRequest
from evalcore.records import ModelSpec
from evalcore.store import open_store

pytestmark = pytest.mark.browser

PATIENCE_MS = 30_000
TEXT = "The quick brown fox jumps over the lazy dog and runs away. " * 9
Script = Callable[[GenerateRequest], Iterator[str]]


class Scripted:
    """A model that says what a function yields."""

    def __init__(self, name: str, script: Script) -> None:
        self.spec = ModelSpec(name=name, backend="fake", weights=name)
        self._script = script

    def stream(self, request: GenerateRequest) -> Iterator[str]:
        return self._script(request)


def writes(text: str, *, pause_s: float, size: int = 4) -> Script:
    def script(_request: GenerateRequest) -> Iterator[str]:
        for start in range(0, len(text), size):
            time.sleep(pause_s)
            yield text[start : start + size]

    return script


def breaks(_request: GenerateRequest) -> Iterator[str]:
    yield "Well, "
    raise RuntimeError("secret-model: out of memory")


@pytest.fixture(scope="module")
def make_live(serve, tmp_path_factory) -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:

        def make(first: Script, second: Script) -> str:
            store = stack.enter_context(open_store(tmp_path_factory.mktemp("live")))
            models = [Scripted("secret-model-1", first), Scripted("secret-model-2", second)]
            limits = LiveSettings(silence_s=5.0, answer_s=60.0)
            specs = [model.spec for model in models]
            live = open_live(specs, Drawing(seed=1), settings=limits)
            settings = ArenaSettings(secret="s" * 40)
            arena = stack.enter_context(live_arena(store, live, settings=settings))
            live.connect([[model] for model in models])
            mount = page_of(arena, live.maker.drafts)
            return serve(lambda: create_app(arena, mount=mount))

        yield make


@pytest.fixture
def ask(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open the page as a new visitor and ask something."""
    contexts = []

    def visit(url: str, prompt: str = "Tell me.") -> Page:
        contexts.append(context := chromium.new_context(reduced_motion="reduce"))
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        wait_for(page, "asking")
        page.fill("#composer-text", prompt)
        page.keyboard.press("Enter")
        return page

    yield visit
    for context in contexts:
        context.close()


def wait_for(page: Page, phase: str) -> None:
    page.wait_for_selector(f'body[data-phase="{phase}"]', timeout=PATIENCE_MS)


def shown(page: Page) -> list[str]:
    return page.locator(".answer .vessel").all_inner_texts()


@pytest.fixture(scope="module")
def live(make_live) -> str:
    """A fast model and a slow one."""
    fast, slow = writes(TEXT, pause_s=0.005), writes(TEXT[::-1], pause_s=0.02)
    return make_live(fast, slow)


def test_a_question_is_answered_twice_and_the_battle_goes_on(live, ask):
    page = ask(live)
    wait_for(page, "ready")
    assert sorted(map(len, shown(page))) == [len(TEXT.strip())] * 2
    page.fill("#composer-text", "And then?")
    page.keyboard.press("Enter")
    wait_for(page, "streaming")
    wait_for(page, "ready")
    assert all("And then?" in text for text in shown(page))
    page.keyboard.press("2")
    wait_for(page, "recorded")
    page.keyboard.press("Enter")
    wait_for(page, "revealed")
    assert "secret-model" in page.locator("#status").inner_text()
    page.keyboard.press("Enter")
    wait_for(page, "asking")


def test_a_reload_in_the_middle_shows_the_same_battle_to_its_end(live, ask):
    page = ask(live)
    expect(page.locator(".answer .vessel").first).to_have_text(re.compile(".{20,}"))
    before = shown(page)
    assert len(before[0]) < len(TEXT)
    page.reload()
    wait_for(page, "ready")
    assert [after[:20] for after in shown(page)] == [text[:20] for text in before]
    page.keyboard.press("1")
    wait_for(page, "recorded")


def test_a_name_reaches_the_browser_with_the_reveal_only(live, ask):
    page = ask(live)
    wait_for(page, "ready")
    assert not re.search("secret-model", page.content())
    page.keyboard.press("4")
    wait_for(page, "recorded")
    assert not re.search("secret-model", page.content())


def test_a_model_that_breaks_names_nobody_and_the_page_goes_on(make_live, ask):
    page = ask(make_live(breaks, writes("Fine. " * 30, pause_s=0.01)), "Are you well?")
    wait_for(page, "lost")
    expect(page.locator("#status")).to_contain_text("could not be made")
    assert not re.search("secret|memory|Traceback", page.content())
    assert page.locator(".answer .vessel").all_inner_texts() == ["", ""]
    page.keyboard.press("Enter")
    wait_for(page, "asking")
    assert page.locator("#composer-text").input_value() == "Are you well?"


def test_a_refused_prompt_is_given_back(live, ask):
    page = ask(live, "x" * 9000)
    expect(page.locator("#status")).to_contain_text("too long")
    assert len(page.locator("#composer-text").input_value()) == 9000


def test_a_prompt_that_waits_is_sent_again(live, chromium):
    """Also where the service is too busy meanwhile: then the prompt is given back."""
    context = chromium.new_context(reduced_motion="reduce")
    page, sent = context.new_page(), []
    page.goto(live)
    wait_for(page, "asking")
    busy = {"code": "too_many", "message": ""}
    said = iter([(200, {"waiting": {"message": "", "place": 2}}), (429, busy)])

    def delay(route) -> None:
        sent.append(json.loads(route.request.post_data))
        code, body = next(said, (None, None))
        route.continue_() if code is None else route.fulfill(status=code, json=body)

    page.route("**/api/battle", delay)
    page.fill("#composer-text", "Tell me.")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("wait a moment", timeout=PATIENCE_MS)
    expect(page.locator("#composer-text")).to_have_value("Tell me.")
    page.press("#composer-text", "Enter")
    wait_for(page, "ready")
    assert sent == [{"prompt": "Tell me."}] * 3
    context.close()


def test_an_empty_answer_says_so_and_the_battle_goes_on(make_live, ask):
    page = ask(make_live(writes("", pause_s=0.0), writes("Well.", pause_s=0.01)))
    wait_for(page, "ready")
    assert sorted(shown(page)) == ["(no text)", "Well."]
    page.fill("#composer-text", "And then?")
    page.keyboard.press("Enter")
    wait_for(page, "ready")
    expect(page.locator(".note")).to_have_text(["(no text)"] * 2, timeout=PATIENCE_MS)


RECORD = """() => {
    window.growth = [[], []];
    const lengths = [0, 0];
    new MutationObserver(() => {
        [...document.querySelectorAll(".answer .vessel")].forEach((vessel, side) => {
            const n = vessel.innerText.length;
            const added = n - lengths[side];
            if (added) window.growth[side].push([performance.now(), added]);
            lengths[side] = n;
        });
    }).observe(document.querySelector("#answers"), { childList: true, subtree: true });
}"""


def test_the_rhythm_does_not_tell_the_fast_model_from_the_slow_one(live, ask):
    """Growth per step and time between steps, as the browser sees them, of either side."""
    page = ask(live)
    page.evaluate(RECORD)
    wait_for(page, "ready")
    left, right = page.evaluate("window.growth")
    assert min(len(left), len(right)) > 10
    assert ks_2samp([n for _, n in left], [n for _, n in right]).pvalue > 0.05
    pauses = [[b - a for (a, _), (b, _) in pairwise(s)] for s in (left, right)]
    assert ks_2samp(*pauses).pvalue > 0.05
    assert abs(left[0][0] - right[0][0]) < 100
