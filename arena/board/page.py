"""The reading page in Gradio: filters, a plot and a sortable table that keep up with the votes."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr
from fastapi import FastAPI

from arena.board.views import interval_svg, view_html
from evalcore.board_view import Asked, BoardView, Show
from evalcore.errors import ParityError

__all__ = ["create_board_app", "draw", "interface", "mount_board", "with_board"]

_REFRESH_S = 5.0
_HEAD = """
<style>
.board-scroll { overflow-x: auto; }
/* Gradio styles tables and buttons in HTML by class: an id wins over it. */
#board-table .board-table { border-collapse: collapse; border: 0; width: 100%;
  font-variant-numeric: tabular-nums; }
#board-table :is(th, td) { padding: .35rem .6rem; text-align: left; white-space: pre; border: 0;
  border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
#board-table th { vertical-align: bottom; }
#board-table tbody tr:hover { background: color-mix(in srgb, currentColor 6%, transparent); }
#board-table .board-sort { all: unset; cursor: pointer; font-weight: 600; }
#board-table .board-sort:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
.board-sort small { display: block; font-weight: 400; }
th[aria-sort=ascending] .board-sort::after { content: " ↑"; }
th[aria-sort=descending] .board-sort::after { content: " ↓"; }
.board-summary { font-weight: 600; font-size: 1.1rem; }
.board-plot { width: 100%; max-width: 860px; font: 13px system-ui, sans-serif; }
.board-plot text { fill: currentColor; }
.board-line { stroke: #2563eb; stroke-width: 3; }
.board-dot { fill: #2563eb; }
.board-grid { stroke: color-mix(in srgb, currentColor 20%, transparent); }
</style>
<script>
let chosen = null;
const sorted = (table) => {
  const headings = [...table.tHead.rows[0].cells];
  const place = headings.findIndex((cell) => cell.textContent === chosen.text);
  if (place < 0 || headings[place].getAttribute("aria-sort") === chosen.order) return;
  for (const cell of headings) cell.setAttribute("aria-sort", "none");
  headings[place].setAttribute("aria-sort", chosen.order);
  const up = chosen.order === "ascending", key = (row) => row.cells[place].dataset.key;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const [m, n] = [Number(x), Number(y)];
    const order = Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n;
    return up ? order : -order;
  });
  table.tBodies[0].append(...rows);
};
document.addEventListener("click", (event) => {
  const button = event.target.closest(".board-sort");
  if (!button) return;
  const heading = button.closest("th");
  const up = heading.getAttribute("aria-sort") !== "ascending";
  chosen = { text: heading.textContent, order: up ? "ascending" : "descending" };
  sorted(button.closest("table"));
});
// A table drawn anew, as votes arrive, keeps the order that was chosen.
new MutationObserver(() => {
  if (chosen) document.querySelectorAll(".board-table").forEach(sorted);
}).observe(document.documentElement, { childList: true, subtree: true });
</script>
"""


def draw(show: Show, asked: Asked) -> tuple[str, str]:
    """Return table and plot for what was chosen; a choice that nothing fits is said in words."""
    try:
        view = show(asked)
    except ParityError as error:
        view = BoardView(summary=str(error))
    return view_html(view, search=asked.search), interval_svg(view)


def interface(show: Show, *, refresh_s: float = _REFRESH_S) -> gr.Blocks:
    """Make the page.

    Parameters
    ----------
    show
        Reads the leaderboard.
    refresh_s
        How often the page looks again by itself.
    """
    first = _first(show)
    choices = first.choices
    with gr.Blocks(title="Parity leaderboard", analytics_enabled=False, fill_width=True) as page:
        gr.Markdown("# Leaderboard")
        with gr.Row():
            inputs = [
                _choice("Rank by", choices.by, "by", nothing="default"),
                _choice("Category", choices.categories, "category"),
                _choice("Licence", choices.licences, "licence"),
                _choice("Quantisation", choices.quantizations, "quantization"),
                _choice("Reference", choices.models, "reference", nothing="none"),
                gr.Textbox(label="Parameters", placeholder="1B-7B", elem_id="board-size"),
                gr.Checkbox(label="Fully open stack only", elem_id="board-open"),
                gr.Textbox(label="Model's name", elem_id="board-search"),
            ]
        table = gr.HTML(elem_id="board-table")
        plot = gr.HTML(elem_id="board-plot")
        timer = gr.Timer(refresh_s)

        def show_chosen(
            by: str,
            category: str,
            licence: str,
            quantization: str,
            reference: str,
            size: str,
            open_stack: bool,
            search: str,
        ) -> tuple[str, str]:
            asked = Asked(
                by=by or "",
                category=category or "",
                licence=licence or "",
                quantization=quantization or "",
                reference=reference or "",
                size=size or "",
                open_stack=bool(open_stack),
                search=search or "",
            )
            return draw(show, asked)

        gr.on(
            [page.load, timer.tick, *(item.change for item in inputs)],
            show_chosen,
            inputs=inputs,
            outputs=[table, plot],
            show_progress="hidden",
            api_visibility="private",
        )
    return page


def mount_board(app: FastAPI, show: Show, *, path: str = "/board") -> None:
    """Serve the page below a path of an app."""
    gr.mount_gradio_app(
        app,
        interface(show),
        path=path,
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


def with_board(show: Show, page: Callable[[FastAPI], None]) -> Callable[[FastAPI], None]:
    """Return what puts this page at ``/board``, then the raters' page, which takes every path."""

    def mount(app: FastAPI) -> None:
        mount_board(app, show)
        page(app)

    return mount


def create_board_app(show: Show) -> FastAPI:
    """Make an app that serves nothing but the page."""
    app = FastAPI(title="leaderboard", docs_url=None, redoc_url=None, openapi_url=None)
    mount_board(app, show, path="/")
    return app


def _first(show: Show) -> BoardView:
    try:
        return show(Asked())
    except ParityError as error:
        return BoardView(summary=str(error))


def _choice(label: str, names: tuple[str, ...], key: str, *, nothing: str = "any") -> gr.Dropdown:
    choices = [(nothing, ""), *((name, name) for name in names)]
    return gr.Dropdown(choices, value="", label=label, elem_id=f"board-{key}")
