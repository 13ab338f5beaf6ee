"""The Gradio app: places for a prompt and its answers, drawn and streamed by Gradio.

All that acts (votes, undo, reveal, skip) goes from the page's script to the service's own routes.
The app holds no state: its one event draws the battle that the service holds open for whoever the
cookies name, so that a reload, another tab or another replica shows the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import gradio as gr
from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles

from arena.arena import Arena
from arena.page.frames import Drafts, frames, no_drafts
from arena.page.pacing import Pacing
from arena.page.texts import LANGUAGE_NAMES, LANGUAGES, texts_in
from arena.records import BattleView, Cookies
from arena.refusals import Refused

__all__ = ["Look", "add_page_files", "build_page", "mount_page", "page_of"]

Look = Callable[[Cookies], Awaitable[BattleView | None]]
"""From cookies to the battle that is open for whom they name; None without one."""

STATIC = Path(__file__).parent / "static"
_HEAD = """
<link rel="stylesheet" href="page/page.css">
<script type="module" src="page/page.js"></script>
"""
_MOST_STREAMS = 400


def build_page(
    look: Look,
    drafts: Drafts = no_drafts,
    *,
    n_answers: int = 2,
    pacing: Pacing | None = None,
) -> gr.Blocks:
    """Make the app.

    Parameters
    ----------
    look
        Reads the battle of a visitor; where it raises `Refused`, the page asks again later.
    drafts
        Answers that are being written in this process.
    n_answers
        Answers of a battle; more than 2 for studies that rank.
    pacing
        Settings of the clock by which growing answers are shown.
    """
    # Else Gradio sums up all its events in a pandas table after each one, for a route closed here.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(sys.maxsize))
    with gr.Blocks(title="Parity", analytics_enabled=False, fill_width=True) as page:
        conversation = _text("conversation")
        with gr.Row(elem_id="answers", elem_classes=[f"of-{n_answers}"], equal_height=False):
            answers = [_answer(position) for position in range(n_answers)]
        show = gr.Button("show", elem_id="show", visible="hidden")

        async def draw(request: gr.Request) -> AsyncIterator[tuple[str, ...]]:
            cookies = dict(request.cookies)
            stream = frames(lambda: look(cookies), drafts, n_answers=n_answers, pacing=pacing)
            with suppress(Refused):
                async for frame in stream:
                    yield frame.conversation, *frame.answers

        show.click(
            draw,
            outputs=[conversation, *answers],
            api_visibility="private",
            show_progress="hidden",
            trigger_mode="multiple",
            concurrency_limit=_MOST_STREAMS,
        )
    return page


def _text(elem_id: str) -> gr.Markdown:
    """Return a component for HTML of ours; Gradio sanitises it again, and sets no maths."""
    return gr.Markdown(elem_id=elem_id, latex_delimiters=[], sanitize_html=True)


def _answer(position: int) -> gr.Markdown:
    with gr.Column(elem_classes=["answer"], min_width=320):
        return _text(f"answer-{position}")


def page_of(
    arena: Arena,
    drafts: Drafts = no_drafts,
    *,
    n_answers: int = 2,
    pacing: Pacing | None = None,
) -> Callable[[FastAPI], None]:
    """Return what puts an arena's page into its service: see :func:`arena.service.create_app`.

    Parameters are those of `build_page`.
    """

    async def look(cookies: Cookies) -> BattleView | None:
        rater = arena.identify(cookies)
        return None if rater is None else await arena.present(rater)

    def mount(app: FastAPI) -> None:
        mount_page(app, build_page(look, drafts, n_answers=n_answers, pacing=pacing))

    return mount


def mount_page(app: FastAPI, page: gr.Blocks) -> None:
    """Serve the page under an app that owns headers, cookies and the list of allowed routes.

    Notes
    -----
    ``/page/`` has the page's own files and must be allowed.
    """
    add_page_files(app)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=1,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace"]),
        head=_HEAD,
    )


def add_page_files(app: FastAPI) -> None:
    """Serve scripts, style and texts at ``/page/``."""
    texts = {
        language: {**texts_in(language), "language_name": LANGUAGE_NAMES[language]}
        for language in LANGUAGES
    }
    body = json.dumps(texts, ensure_ascii=False)

    @app.get("/page/texts.json")
    def page_texts() -> Response:
        return Response(body, media_type="application/json")

    app.mount("/page", StaticFiles(directory=STATIC), name="page")
