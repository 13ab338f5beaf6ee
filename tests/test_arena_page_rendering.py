"""What a model can do to the page through its answer: nothing."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.page.rendering import SHOWN_CHARACTERS, GrowingMarkdown, render_markdown

FORBIDDEN = {
    *("base", "button", "embed", "form", "iframe", "img", "input", "link", "meta"),
    *("annotation-xml", "object", "script", "select", "style", "svg", "textarea", "video"),
}
PIECES = [
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<form action=//e>", "</div>"),
    *("<button id='choice-a'>", "<div style='position:fixed'>", "<svg onload=a>", "<!--", "&lt;"),
    *("![x](http://evil.example/p.png)", "[x](javascript:alert(1))", "[x](data:text/html,x)"),
    *("\\(\\text{<form><button>k</button>}\\)", "$x<y$", "$$\\style{a:b}{x}$$", "\\href{//e}{x}"),
    *("```mermaid\n", "```html\n<b>\n", "\n```\n", "# h\n", "| a |\n|--|\n", "\n\n", "*", "`", "x"),
]


class Elements(HTMLParser):
    """Everything in a piece of HTML that is not text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def check_harmless(html: str) -> None:
    for tag, attributes in Elements(html).found:
        assert tag not in FORBIDDEN
        assert not {"id", "style", "src", "action", "name"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "http:").split(":")[0] in ("http", "https", "mailto")


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text())
def test_any_text_renders_to_one_line_of_harmless_tags(text: str):
    html = render_markdown(text)
    check_harmless(html)
    assert "\n" not in html


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_a_growing_text_is_as_harmless_at_every_moment(pieces: list[str]):
    growing = GrowingMarkdown()
    for n in range(len(pieces) + 1):
        check_harmless(growing.render("".join(pieces[:n])))


BLOCKS = ["a *b*", "- x\n- y", "> q", "```\ncode\n\nmore\n```", "# t", "| a |\n|--|\n| 1 |", "1. z"]


@given(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=6), st.integers(1, 7))
def test_a_growing_text_ends_as_the_whole_text(blocks: list[str], step: int):
    text = "\n\n".join(blocks) + "\n\nend"
    growing = GrowingMarkdown()
    for n in range(0, len(text), step):
        growing.render(text[:n])
    assert growing.render(text) == render_markdown(text)


def test_an_image_is_named_and_never_loaded():
    html = render_markdown("![a cat](https://evil.example/beacon.png)")
    assert html.startswith('<p><span class="image">a cat</span></p>')
    assert "evil.example" not in html


def test_maths_becomes_mathml_and_money_stays_text():
    html = render_markdown(r"\(x<y\) and $\frac{a}{b}$, from $5 to $6")
    assert html.count("<math") == 2
    assert "<mfrac>" in html
    assert "from $5 to $6" in html


@pytest.mark.parametrize("latex", ["{" * 500, r"\frac", "x^" * 300, "y" * 3000])
def test_maths_that_cannot_be_set_is_shown_as_written(latex: str):
    assert f"<code>{latex}</code>" in render_markdown(f"$${latex}$$")


def test_mark_up_inside_maths_is_not_let_through():
    html = render_markdown(r"$\text{<a href=http://e.example>x</a><pre>y</pre>}$")
    assert "<a" not in html
    assert "<pre" not in html


def test_code_is_coloured_in_known_languages_only():
    assert '<span class="k">def</span>' in render_markdown("```python\ndef f(): pass\n```")
    assert "<span" not in render_markdown("```mermaid\ngraph TD\n```")
    assert "<span" not in render_markdown("```no-such-language\ndef f(): pass\n```")


def test_headings_start_below_those_of_the_page():
    levels = re.findall(r"<h(\d)>", render_markdown("# a\n## b\n### c\n###### d"))
    assert levels == ["4", "5", "6", "6"]


def test_an_endless_answer_is_cut_and_says_so():
    html = render_markdown("x" * 2_000_000)
    assert len(html) < SHOWN_CHARACTERS + 200
    assert "answer_cut" in html
    assert "answer_cut" not in render_markdown("x" * SHOWN_CHARACTERS)


def test_an_empty_answer_renders_to_nothing():
    assert render_markdown("") == ""
