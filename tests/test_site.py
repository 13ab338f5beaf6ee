import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from evalcore.errors import InputError
from evalcore.records import Adapter, Comparison, Example, Message, ModelSpec
from evalcore.store import Store, open_store
from leaderboards.standings import standings
from reports.evidence import collect
from reports.markdown import markdown_report
from reports.page import html_report, write_report
from reports.site.folder import MANIFEST, write_folder
from reports.site.writing import write_site
from reports.tables import csv_report

HOSTILE = (
    "</pre></script><script>window.hacked=1</script><img src=//evil.example/x onerror=hacked=1>"
    "\u202egpj\x00\x1b[2J `code` | pipe | [link](javascript:alert(1)) =HYPERLINK(1)"
)
GOOD = [1.0] * 20 + [0.0] * 10
POOR = [0.0] * 20 + [1.0] * 10


def spec(name: str) -> ModelSpec:
    return ModelSpec(name=name, backend="hf", weights=name[:8], sha256=name[:1] * 64)


def add_votes(store: Store, a: ModelSpec, b: ModelSpec) -> None:
    prompts = [
        Example(id=f"{n:032}", messages=(Message(role="user", content=f"{HOSTILE} {n}"),))
        for n in range(30)
    ]
    store.add_examples(prompts)
    store.add_comparisons(
        Comparison(
            id=f"c{n}",
            example_id=prompts[n % 30].id,
            model_a=a.fingerprint,
            model_b=b.fingerprint,
            winner=("model_a", "model_b", "tie")[n % 3],
            rater=HOSTILE if n % 2 else f"r{n % 5}",
            rater_kind="judge" if n % 2 else "human",
            swapped=False,
            explanation=HOSTILE,
            created_utc=f"2026-01-01T00:{n % 60:02}:00Z",
        )
        for n in range(60)
    )


def fill(store: Store, add_results) -> None:
    models = [spec("plain"), spec(HOSTILE), spec("=cmd|x!A0"), spec("x" * 300)]
    models.append(replace(models[0], name="stack", adapters=(Adapter(name=HOSTILE, path="a"),)))
    for place, model in enumerate(models):
        values = GOOD if place % 2 else POOR
        answers = [HOSTILE * (8000 if n == 0 and place == 1 else 1) for n in range(30)]
        add_results(store, model, "sums", values, answers=answers)
        add_results(store, model, "lists", values[::-1])
    add_votes(store, models[0], models[1])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, add_results) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("site") / "out") as store:
        fill(store, add_results)
        yield store


@pytest.fixture(scope="module")
def site(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "site"
    write_site(collect(standings(store), store), store, folder)
    return folder


class Addresses(HTMLParser):
    """Collects what a page links to, and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [v for k, v in attrs if k in ("href", "src")]
        assert not any(k.startswith("on") for k, _v in attrs)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_link_leads_to_a_file_of_the_site(site):
    for page in site.rglob("*.html"):
        for address in Addresses(page.read_text(encoding="utf-8")).found:
            if not address.startswith("data:"):
                assert (page.parent / unquote(address)).resolve().is_file(), (page, address)


def test_pages_hold_no_address_elsewhere_and_no_markup_of_models(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        parsed = Addresses(text)
        tags = parsed.tags
        assert tags.count("script") == 2
        assert "img" not in tags
        assert not {"\x00", "\x1b", "\u202e"} & set(text)
        assert not [
            address for address in parsed.found if re.match(r"\w+:(?!text/csv)|//", address)
        ]


def test_there_is_a_page_for_each_model_task_and_judge(site):
    names = {folder: len(list((site / folder).glob("*.html"))) for folder in ("models", "judges")}
    assert names == {"models": 5, "judges": 1}
    assert len([p for p in (site / "tasks").glob("*.html") if "-examples-" not in p.name]) == 2
    assert (site / ".nojekyll").is_file()


def test_every_example_is_on_a_page(site, store):
    pages = "".join(p.read_text(encoding="utf-8") for p in site.rglob("*-examples-*.html"))
    assert len(re.findall(r'id="example-', pages)) == 60
    prompts = "".join(p.read_text(encoding="utf-8") for p in (site / "prompts").glob("*.html"))
    assert len(re.findall(r'id="example-', prompts)) == 30


def test_answer_of_a_megabyte_is_cut_and_says_so(site):
    pages = [p.read_text(encoding="utf-8") for p in site.rglob("*-examples-1.html")]
    assert any("more characters)" in text for text in pages)
    assert max(len(text) for text in pages) < 1_000_000


def test_same_workspace_gives_the_same_bytes(site, store, tmp_path):
    write_site(collect(standings(store), store), store, tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(site)


def test_search_index_is_a_script_that_ends_no_element(site):
    text = (site / "assets" / "pages.js").read_text(encoding="utf-8")
    pages = json.loads(text.removeprefix("window.PARITY_PAGES = ").rstrip().removesuffix(";"))
    assert {kind for kind, *_rest in pages} == {"model", "task", "judge", "prompts"}
    assert all((site / address).is_file() for _kind, _name, address, _more in pages)


def test_files_of_others_are_neither_replaced_nor_removed(tmp_path):
    write_folder(tmp_path, [("a.html", b"1"), ("old/b.html", b"2"), ("old/c.html", b"3")])
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "old" / "c.html").write_text("changed by hand")
    done = write_folder(tmp_path, [("a.html", b"new")])
    assert (done.removed, done.kept) == (("old/b.html",), ("old/c.html",))
    assert hashes(tmp_path).keys() == {"a.html", "mine.html", "old/c.html", MANIFEST}
    with pytest.raises(InputError, match=r"mine.html is in the way"):
        write_folder(tmp_path, [("mine.html", b"ours")])
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_list_of_files_that_leads_out_of_the_folder_removes_nothing(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("precious")
    folder = tmp_path / "site"
    folder.mkdir()
    digest = hashlib.sha256(b"precious").hexdigest()
    (folder / MANIFEST).write_text(json.dumps({"files": {"../outside.txt": digest}}))
    write_folder(folder, [("a.html", b"1")])
    assert outside.read_text() == "precious"


def test_writing_that_was_cut_short_is_gone_on_with(tmp_path):
    def cut_short():
        yield "a.html", b"old"
        yield "b/c.html", b"old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path, cut_short())
    done = write_folder(tmp_path, [("a.html", b"new")])
    assert done.removed == ("b/c.html",)
    assert hashes(tmp_path).keys() == {"a.html", MANIFEST}


def test_file_in_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "site").write_text("")
    with pytest.raises(InputError, match="--site must be a folder"):
        write_folder(tmp_path / "site", [])


def test_second_writing_of_the_same_writes_nothing(tmp_path):
    write_folder(tmp_path, [("a", b"1"), ("b", b"2")])
    assert write_folder(tmp_path, [("a", b"1"), ("b", b"2")]).n_written == 0


def test_command_writes_a_site_and_refuses_two_things_at_once(store, tmp_path, parity):
    workspace = Path(store.where)
    code, out, _err = parity("report", "-w", workspace, "--site", tmp_path / "s", "--json")
    assert code == 0
    assert Path(json.loads(out)["site"]).is_file()
    code, _out, err = parity("report", "-w", workspace, "--site", tmp_path, "-o", "x.html")
    assert (code, "one at a time" in err) == (2, True)


def test_workspace_with_votes_alone_gives_report_and_site(tmp_path, parity):
    with open_store(tmp_path / "votes") as store:
        models = [spec("one"), spec("two")]
        for model in models:
            store.add_model(model)
        add_votes(store, *models)
    for target in ("r.html", "r.md", "r.csv"):
        code, _out, err = parity("report", "-w", tmp_path / "votes", "-o", tmp_path / target)
        assert code == 0, err
    code, _out, err = parity("report", "-w", tmp_path / "votes", "--site", tmp_path / "s")
    assert code == 0, err
    assert "Elo" in (tmp_path / "r.html").read_text(encoding="utf-8")


def kinds_of_pages(site: Path) -> list[Path]:
    """One page of each kind; of the models the one with the worst name."""
    hostile = next(p for p in (site / "models").glob("*") if p.name.startswith("pre-script"))
    examples = next(iter(sorted((site / "tasks").glob("sums*-examples-1.html"))))
    task = next(p for p in (site / "tasks").glob("sums*.html") if "examples" not in p.name)
    judge = next((site / "judges").glob("*.html"))
    return [site / "index.html", hostile, task, examples, site / "prompts/page-1.html", judge]


@dataclass
class Watched:
    """A page, what it asked for, and what went wrong in it."""

    page: Page
    asked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def open(self, path: Path) -> None:
        self.asked.clear()
        self.problems.clear()  # axe asks for style sheets, which the page before refused
        self.page.goto(path.as_uri())

    def check(self, folder: Path) -> None:
        """Nothing came from elsewhere, no script of a model ran, and nothing stands out."""
        assert all(address.startswith(folder.as_uri()) for address in self.asked)
        assert not self.problems
        assert self.page.evaluate("window.hacked") is None
        width = self.page.viewport_size["width"]
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(self.page).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert not serious, json.dumps(serious, indent=1)[:3000]


@pytest.fixture(params=[("light", 1200), ("dark", 390)], ids=["light", "dark-phone"])
def watched(chromium, request) -> Iterator[Watched]:
    scheme, width = request.param
    viewport = {"width": width, "height": 800}
    with chromium.new_context(viewport=viewport, color_scheme=scheme) as context:
        seen = Watched(context.new_page())
        seen.page.on("request", lambda request: seen.asked.append(request.url))
        seen.page.on("pageerror", lambda error: seen.problems.append(str(error)))
        seen.page.on("console", lambda message: seen.problems.append(message.text))
        yield seen


@pytest.mark.browser
def test_pages_from_disk_are_harmless_accessible_and_fit_a_phone(site, watched):
    for path in kinds_of_pages(site):
        watched.open(path)
        watched.check(site)


@pytest.mark.browser
def test_report_with_hostile_content_is_harmless_and_fits_a_phone(store, watched, tmp_path):
    path = write_report(standings(store), store, tmp_path / "report.html")
    watched.open(path)
    watched.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert watched.asked == [path.as_uri()]
    watched.check(tmp_path)
    assert path.stat().st_size < 2_000_000


@pytest.mark.browser
def test_search_sorting_and_filters_need_no_server(site, chromium):
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto((site / "tasks" / "..").resolve().joinpath("index.html").as_uri())
        page.get_by_label("Filter models").fill("plain")
        assert page.locator("#standings-table tbody tr:visible").count() == 1
        page.get_by_label("Filter models").fill("")
        heading = page.locator("#standings-table th", has_text="Model").first
        heading.get_by_role("button").click()
        names = page.locator("#standings-table tbody tr th").all_inner_texts()
        assert names.index("plain") < names.index("stack")
        page.get_by_label("Search").fill("stack")
        page.locator(".found a").first.click()
        assert page.locator(".lead").inner_text() == "stack"
        page.get_by_label("Search").fill("sums")
        page.get_by_label("Search").press("Enter")
        page.wait_for_url("**/tasks/sums-*.html")


def test_places_on_the_users_disk_are_not_published(tmp_path, add_results):
    home = "/home/secret-user/models"
    stack = (Adapter(name="math", path=f"{home}/adapters/math", weight=0.5),)
    models = [
        ModelSpec(name="base", backend="hf", weights=f"{home}/tiny", sha256="a" * 64),
        ModelSpec(name="stack", backend="hf", weights=f"{home}/tiny", adapters=stack),
        ModelSpec(
            name="gguf",
            backend="gguf",
            weights=r"C:\Users\secret-user\tiny.gguf",
            options=(("projector", f"{home}/projector.gguf"),),
        ),
    ]
    with open_store(tmp_path / "out") as store:
        for place, model in enumerate(models):
            add_results(store, model, "sums", [float(n % 3 > place % 2) for n in range(12)])
        evidence = collect(standings(store), store)
        write_site(evidence, store, tmp_path / "site")
        texts = [path.read_text("utf-8") for path in (tmp_path / "site").rglob("*.*")]
        texts += [html_report(evidence, store), markdown_report(evidence.board)]
        texts.append(csv_report(evidence.board))
    assert not [text[:40] for text in texts if "secret-user" in text]
    assert "hf:…/tiny+lora:…/math*0.5" in texts[-1]
    assert "gguf:…/tiny.gguf?projector=…/projector.gguf" in texts[-1]
    assert models[0].fingerprint in texts[-1]
