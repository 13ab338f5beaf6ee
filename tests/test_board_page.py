"""The leaderboard's reading page: what it shows, and in a browser."""

from pathlib import Path

import pytest

from arena.board.page import create_board_app, draw
from arena.board.views import interval_svg, view_html
from evalcore.board_view import Asked, BoardView, Interval
from evalcore.errors import InputError
from evalcore.records import Comparison, ModelSpec
from evalcore.store import open_store
from leaderboards.reading import reader

GOOD = [1.0] * 70 + [0.0] * 30
POOR = [1.0] * 10 + [0.0] * 90
HOSTILE = '<img src=x onerror="alert(1)">'


def model(name: str) -> ModelSpec:
    return ModelSpec(name=name, backend="fake", weights=name)


@pytest.fixture
def store(tmp_path: Path, add_results):
    with open_store(tmp_path / "out") as store:
        for name, values in (("good", GOOD), ("poor", POOR), (HOSTILE, POOR)):
            add_results(store, model(name), "sums", values)
        yield store


def test_page_shows_what_the_command_shows(store):
    table, plot = draw(reader(store), Asked())
    assert "good leads with 0.70" in table
    assert table.count("<tr>") == 4
    assert plot.count("<circle") == 3


def test_hostile_names_are_text(store):
    table, plot = draw(reader(store), Asked())
    assert "<img" not in table + plot
    assert "&lt;img" in table


def test_search_keeps_rows_of_that_name(store):
    table, _ = draw(reader(store), Asked(search="POO"))
    assert table.count("<tr>") == 2


def test_choice_that_nothing_fits_is_said(store):
    table, plot = draw(reader(store), Asked(licence="mit"))
    assert "no model is known to pass the filter: licence mit" in table
    assert plot == ""


def test_cells_are_sorted_by_full_numbers(store):
    view = reader(store)(Asked())
    at = [line for line, _ in view.headings].index("Rating")
    assert [keys[at] for keys in view.sort_keys] == [0.7, 0.1, 0.1]


def test_readers_share_a_board_for_some_seconds(store, add_results):
    show = reader(store)
    first = show(Asked())
    add_results(store, model("new"), "sums", GOOD)
    assert show(Asked(search="x")) is first


def test_interval_without_ends_is_a_point():
    item = Interval(model="a", value=1.0, low=float("nan"), high=float("inf"), text="1")
    assert "<circle" in interval_svg(BoardView(summary="", intervals=[item]))
    lost = Interval(model="a", value=float("-inf"), low=float("-inf"), high=0.0, text="")
    assert interval_svg(BoardView(summary="", intervals=[lost])) == ""


def test_empty_view_is_its_summary():
    assert view_html(BoardView(summary="a < b")) == '<p class="board-summary">a &lt; b</p>'


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore")  # Gradio's own, in the server's thread
def test_page_sorts_filters_and_keeps_up_in_a_browser(store, add_results, chromium, serve):
    link = serve(lambda: create_board_app(reader(store)))
    page = chromium.new_page()
    try:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(link)
        rows = page.locator(".board-table tbody tr")
        rows.first.wait_for(timeout=60_000)
        assert "good" in rows.first.inner_text()
        page.get_by_role("button", name="Rating").click()
        assert page.locator("th[aria-sort=ascending]").count() == 1
        assert "good" in rows.last.inner_text()
        assert page.locator(".board-plot circle").count() == 3
        add_results(store, model("brand new"), "sums", GOOD)
        page.get_by_text("brand new").first.wait_for(timeout=60_000)
        page.get_by_label("Model's name").fill("brand")
        page.wait_for_function("document.querySelectorAll('.board-table tbody tr').length === 1")
        assert errors == []
    finally:
        page.close()


def test_unknown_reference_is_one_line(store):
    with pytest.raises(InputError, match="got 'x'"):
        reader(store)(Asked(reference="x"))


def test_votes_alone_are_shown(tmp_path):
    with open_store(tmp_path / "votes") as store:
        store.add_comparisons(
            Comparison(
                id=f"v{k}",
                example_id=f"e{k}",
                model_a="a",
                model_b="b",
                winner=("model_a", "model_b", "model_a")[k % 3],
                rater=f"r{k % 5}",
                rater_kind="human",
                swapped=False,
                created_utc="2026-01-01T00:00:00Z",
            )
            for k in range(60)
        )
        table, plot = draw(reader(store), Asked())
    assert "human votes, Elo scale" in table
    assert plot.count("<circle") == 2
