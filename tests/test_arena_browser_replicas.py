"""The page in a real browser before two replicas on PostgreSQL, behind a proxy."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from itertools import cycle
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from arena.arena import Arena
from arena.fake import FakeSource
from arena.page.layout import page_of
from arena.service import create_app
from arena.settings import ArenaSettings
from evalcore.store import Store, arena_schema, open_store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENCE_MS = 60_000
SETTINGS = ArenaSettings(secret="s" * 40)


def proxy(urls: list[str], seen: Counter) -> Starlette:
    """Send each request of the API to the other replica, and Gradio's events to the first one."""
    turns, client = cycle(urls), httpx.AsyncClient(timeout=60)

    @asynccontextmanager
    async def closing_client(_app: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    async def forward(request: Request) -> StreamingResponse:
        is_api = request.url.path.startswith("/api/")
        url = next(turns) if is_api else urls[0]
        seen[url] += is_api
        path = request.url.path + ("?" + request.url.query if request.url.query else "")
        sent = client.build_request(
            request.method, url + path, headers=request.headers.raw, content=await request.body()
        )
        answer = await client.send(sent, stream=True)

        async def body() -> AsyncIterator[bytes]:
            try:
                async for piece in answer.aiter_raw():
                    yield piece
            finally:
                await answer.aclose()

        response = StreamingResponse(body(), status_code=answer.status_code)
        response.raw_headers = answer.headers.raw
        return response

    route = Route("/{path:path}", forward, methods=["GET", "POST"])
    return Starlette(routes=[route], lifespan=closing_client)


@pytest.fixture
def replicas(serve, postgres, tmp_path: Path) -> Iterator[tuple[str, Counter, Store]]:
    """Give the link of a proxy before both, how much of the API went where, and the store."""
    urls, seen = [], Counter()
    with ExitStack() as stack:
        for _ in range(2):
            store = stack.enter_context(open_store(tmp_path, postgres.url))
            arena = stack.enter_context(closing(Arena(store, FakeSource(), settings=SETTINGS)))
            urls.append(serve(lambda one=arena: create_app(one, mount=page_of(one))))
        yield serve(lambda: proxy(urls, seen)), seen, store


def wait_for(page: Page, phase: str) -> None:
    page.wait_for_selector(f'body[data-phase="{phase}"]', timeout=PATIENCE_MS)


def test_battles_votes_and_reloads_are_the_same_on_both(replicas, chromium: Browser):
    url, seen, store = replicas
    with closing(chromium.new_context(reduced_motion="reduce")) as context:
        page = context.new_page()
        page.goto(url)
        for key in ("1", "3"):
            wait_for(page, "ready")
            before = page.locator(".vessel").all_inner_texts()
            page.reload()
            wait_for(page, "ready")
            assert page.locator(".vessel").all_inner_texts() == before
            page.keyboard.press(key)
            wait_for(page, "recorded")
            page.keyboard.press("Enter")
            wait_for(page, "revealed")
            page.keyboard.press("Enter")
        wait_for(page, "ready")
    with store.engine.connect() as connection:
        votes = connection.execute(arena_schema.vote.select()).all()
    assert Counter(vote.choice for vote in votes) == {"left": 1, "tie": 1}
    assert len(seen) == 2
