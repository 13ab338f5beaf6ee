"""The report in a real browser."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three fake models on one task, written by the commands."""
    folder = tmp_path_factory.mktemp("report")
    lines = [{"prompt": f"{n}?", "choices": ["a", "b"], "answer": n % 2} for n in range(30)]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task = {"name": "t", "kind": "multiple_choice", "examples": "t.jsonl"}
    (folder / "t.yaml").write_text(json.dumps(task))
    models = [
        part for name in ("zebra", "apple", "mango") for part in ("-m", f"{name}=fake:{name}")
    ]
    parity = [sys.executable, "-m", "evalcore"]
    here = ["-w", str(folder / "out")]
    evaluate = [*parity, "eval", *models, "-t", str(folder / "t.yaml"), *here]
    subprocess.run(evaluate, check=True, capture_output=True)
    subprocess.run([*parity, "report", *here], check=True, capture_output=True)
    return folder / "out" / "report.html"


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with chromium.new_context(viewport={"width": 390, "height": 800}) as context:
        yield context.new_page()


def test_report_asks_for_nothing_and_fits_a_phone(page: Page, report: Path):
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(report.as_uri())
    width = page.evaluate("document.documentElement.scrollWidth")
    assert asked == [report.as_uri()]
    assert not errors
    assert width <= 390


def test_click_on_a_heading_sorts_the_table(page: Page, report: Path):
    page.goto(report.as_uri())
    table = page.locator("table.sortable").first
    heading = table.locator("th", has_text="Model").first
    for direction in ("ascending", "descending"):
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == direction
    text = table.locator("tbody").inner_text()
    places = [text.index(name) for name in ("zebra", "mango", "apple")]
    assert places == sorted(places)
