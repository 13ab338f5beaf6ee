import html
import io
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from evalcore.errors import InputError
from evalcore.records import Adapter, Efficiency, ModelSpec
from evalcore.store import Store, open_store
from leaderboards.standings import standings
from reports.cli import report
from reports.contests import contests
from reports.effects import effects
from reports.evidence import collect
from reports.figures.axes import linear_axis, log_axis
from reports.figures.pareto import pareto_figures
from reports.markdown import markdown_report
from reports.page import html_report, write_report
from reports.tables import csv_report

HOSTILE = "</pre><script>alert('x')</script><img src=//evil.example/x onerror=alert(1)>"
GOOD = [1.0] * 70 + [0.0] * 30
POOR = [1.0] * 10 + [0.0] * 90
MATH = Adapter(name="math", path="a/math", sha256="m" * 64)


def model(name: str, *, adapters=(), quantization=None) -> ModelSpec:
    return ModelSpec(
        name=name,
        backend="hf",
        weights="base",
        sha256="b" * 64,
        adapters=adapters,
        quantization=quantization,
        dtype="float32",
    )


BASE = model("base")
STACK = model("base+math", adapters=(MATH,))
SMALL = model("base+math (nf4)", adapters=(MATH,), quantization="nf4")


@pytest.fixture
def store(tmp_path: Path, add_results) -> Iterator[Store]:
    with open_store(tmp_path / "out") as store:
        for place, (spec, values) in enumerate(
            [(BASE, POOR), (STACK, GOOD), (SMALL, GOOD[5:] + GOOD[:5])]
        ):
            took = Efficiency(
                decode_tokens=100 * (place + 1),
                decode_s=1.0,
                size_on_disk_bytes=10**6 * (place + 1),
            )
            answers = [HOSTILE] * len(values)
            add_results(store, spec, "sums", values, answers=answers, efficiency=took)
            add_results(store, spec, "lists", values[::-1], efficiency=took)
        yield store


class Links(HTMLParser):
    """Collects tags and everything that a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [
            v
            for k, v in attrs
            if k.startswith("on") or (k in {"src", "href", "srcset"} and not v.startswith("data:"))
        ]


def parsed(text: str) -> Links:
    links = Links()
    links.feed(text)
    return links


def test_report_asks_for_nothing_from_elsewhere(store):
    text = html_report(collect(standings(store), store), store)
    assert parsed(text).fetched == []
    assert not re.search(r"url\(|@import|https?://(?!www.w3.org/2000/svg)", text)


def test_answers_and_names_of_models_are_only_text(store, add_results):
    add_results(store, model(HOSTILE, quantization="int8"), "sums", GOOD)
    links = parsed(html_report(collect(standings(store), store), store))
    assert "img" not in links.tags
    assert links.tags.count("script") == 1


def test_report_shows_hostile_answers_escaped(store):
    assert "&lt;script&gt;alert" in html_report(collect(standings(store), store), store)


def test_report_has_a_row_for_each_model_and_says_who_leads(store):
    text = html_report(collect(standings(store), store), store)
    assert "base+math leads with" in text
    for spec in (BASE, STACK, SMALL):
        assert spec.fingerprint in text


def test_report_of_a_board_without_pairs_figures_or_ranks(tmp_path, add_results):
    with open_store(tmp_path / "one") as store:
        for task in ("text", "code"):
            add_results(
                store,
                BASE,
                task,
                [2.0],
                metric="loss",
                higher_is_better=False,
                efficiency=Efficiency(),
            )
        text = html_report(collect(standings(store), store), store)
    assert "No model has a rank" in text


def test_effects_compare_stacks_with_their_base_and_quantised_models_with_full_precision(store):
    found = {
        (e.variant.model.name, e.kind): e.reference.model.name for e in effects(standings(store))
    }
    assert found == {
        ("base+math", "adapters"): "base",
        ("base+math (nf4)", "precision"): "base+math",
    }


def test_effect_cells_say_change_direction_and_significance(store):
    (effect,) = (e for e in effects(standings(store)) if e.kind == "adapters")
    for cell in effect.cells:
        assert cell.difference == pytest.approx(0.6)
        assert (cell.significant, cell.is_better, cell.strength) == (True, True, 1.0)


def test_less_perplexity_counts_as_better(store, add_results):
    for spec, loss in ((BASE, 3.0), (STACK, 2.0)):
        values = [loss] * 30
        add_results(store, spec, "text", values, metric="loss", higher_is_better=False)
    board = standings(store)
    (effect,) = (e for e in effects(board) if e.kind == "adapters")
    cell = effect.cells[[c.task for c in board.columns].index("text")]
    assert cell.difference == pytest.approx(-1.0)
    assert cell.is_better


def test_contests_show_won_and_lost_examples_of_all_tasks_in_turn(store):
    contest = next(
        c
        for c in contests(collect(standings(store), store), store)
        if c.model_b.model.name == "base"
    )
    assert {shown.task for shown in contest.wins} == {"sums", "lists"}
    assert all(shown.value_a > shown.value_b for shown in contest.wins)
    assert contest.losses == ()


def test_long_answers_are_cut_and_say_so(store, add_results):
    add_results(
        store, model("talker", quantization="int8"), "sums", GOOD, answers=["x" * 5000] * 100
    )
    board = standings(store, tasks=["sums"], models=["talker", "base"])
    shown = contests(collect(board, store), store)[0].wins[0]
    assert shown.answer_a.endswith("… (3,800 more characters)")


def test_trade_offs_leave_out_what_is_not_known(store):
    assert [figure.title for figure in pareto_figures(standings(store))] == [
        "Quality against size",
        "Quality against speed",
    ]
    board = standings(store, models=["base"])
    assert pareto_figures(board) == []


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=20))
def test_linear_axis_holds_all_values_between_few_round_ticks(values):
    axis = linear_axis(values)
    assert axis.low <= min(values)
    assert axis.high >= max(values)
    assert 2 <= len(axis.ticks) <= 8
    assert all(0.0 <= axis.share(value) <= 1.0 for value in values)


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20))
def test_log_axis_keeps_order(values):
    axis = log_axis(values)
    shares = [axis.share(value) for value in sorted(values)]
    assert shares == sorted(shares)
    assert 0.0 < shares[0] <= shares[-1] < 1.0


def test_csv_holds_unrounded_numbers_and_whole_ranks(store, add_results):
    add_results(store, model("new", quantization="int8"), "sums", GOOD)
    board = standings(store)
    table = pd.read_csv(io.StringIO(csv_report(board)), dtype={"rank": "Int64"})
    assert table["rank"].tolist()[:3] == [1, 1, 3]
    assert table["rank"].isna().tolist() == [False, False, False, True]
    assert table["rating"][0] == board.standings[0].rating.value
    assert table["sums/exact_match_n"].tolist() == [100] * 4


def test_markdown_holds_standings_effects_and_hashes(store):
    text = markdown_report(standings(store))
    assert "| 1 (1–2) | base+math |" in text
    assert "+0.600" in text or "+0.60" in text
    assert STACK.fingerprint in text


def test_report_that_cant_be_written_is_one_line_and_leaves_nothing(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written"):
        write_report(standings(store), store, tmp_path / "file" / "report.html")
    target = write_report(standings(store), store, tmp_path / "new" / "report.html")
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def run_report(*arguments: str):
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("name", "start"),
    [("r.html", "<!doctype html>"), ("r.md", "# Leaderboard"), ("r.csv", "rank,")],
)
def test_command_writes_by_the_files_ending(store, tmp_path, name, start):
    done = run_report("-w", str(tmp_path / "out"), "-o", str(tmp_path / name), "--json")
    assert json.loads(done.stdout)["report"] == str(tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


def test_command_refuses_an_unknown_ending(tmp_path):
    done = run_report("-w", str(tmp_path / "out"), "-o", str(tmp_path / "r.pdf"))
    assert isinstance(done.exception, InputError)
    assert "must end in .html, .md or .csv" in str(done.exception)


@pytest.mark.browser
def test_report_in_a_browser_fits_a_phone_sorts_and_stays_offline(store, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    path = write_report(standings(store), store, tmp_path / "report.html")
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 390, "height": 844})
        requests: list[str] = []
        problems: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.click("table.sortable th:nth-child(2) button")
        names = page.eval_on_selector_all(
            "table.sortable tbody th", "cells => cells.map(cell => cell.textContent)"
        )
        browser.close()
    assert names == sorted(names)
    assert (requests, problems) == ([path.as_uri()], [])


@pytest.mark.parametrize(
    "hostile",
    ["a|b", "`x`", "[x](javascript:y)", "<b>", "@team", "$x$", "&lt;", "~~x~~", "http://x.example"],
)
def test_markdown_shows_signs_of_markup_as_they_are(hostile):
    from markdown_it import MarkdownIt

    from leaderboards.markdown import plain

    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    table = f"| a |\n| :-- |\n| {plain(hostile)} |\n"
    text = re.sub(r"<[^>]*>", "", reader.render(table))
    assert html.unescape(text).split() == ["a", *hostile.split()]


def test_markdown_shows_what_would_turn_or_end_a_line(store):
    from leaderboards.markdown import plain

    assert plain("a\u202eb\x00\nc") == r"a\[U+202E\]b␀ c"
