"""Answers as HTML that can't harm the page.

A model's answer is written by a stranger. Four walls stand between it and the rater: raw HTML is
never parsed (markdown-it with ``html=False``), the result passes an allow-list of tags, attributes
and classes (nh3), Gradio's Markdown component sanitises it once more in the browser, and the page
contains each answer in its box and loads nothing from elsewhere (page.css and the service's
headers). Nothing here depends on the model, so both sides look the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import nh3
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.texmath import texmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import find_lexer_class_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

__all__ = ["SHOWN_CHARACTERS", "GrowingMarkdown", "render_markdown"]

SHOWN_CHARACTERS = 40_000
"""Longer answers are cut here and say so; the rule is the same for every model."""
HIGHLIGHTED_CHARACTERS = 20_000
FORMULA_CHARACTERS = 2_000

MATHS_TAGS = {
    *("math", "menclose", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded"),
    *("mphantom", "mprescripts", "mroot", "mrow", "mspace", "msqrt", "mstyle", "msub", "msubsup"),
    *("msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover", "none"),
}
MATHS_ATTRIBUTES = {
    "math": {"display"},
    "mo": {"fence", "form", "maxsize", "minsize", "movablelimits", "stretchy"},
    "mi": {"mathvariant"},
    "mfrac": {"linethickness"},
    "mspace": {"width", "linebreak"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "mtable": {"columnalign", "columnlines", "rowlines"},
    "mtd": {"columnalign"},
    "menclose": {"notation"},
}
TEXT_TAGS = {
    *("a", "blockquote", "br", "code", "div", "em", "h4", "h5", "h6", "hr", "li", "ol", "p"),
    *("pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
TEXT_ATTRIBUTES = {"a": {"href"}, "ol": {"start"}, "pre": {"tabindex"}, "div": {"tabindex"}}
CLASSES = {
    "span": {*filter(None, STANDARD_TYPES.values()), "image"},
    "div": {"formula", "table"},
}
LINKS = {"a": {"target": "_blank"}}
URL_SCHEMES = {"http", "https", "mailto"}


def render_markdown(text: str) -> str:
    """Return Markdown, code and maths as safe HTML.

    Parameters
    ----------
    text
        Anything at all. From `SHOWN_CHARACTERS` on it is cut, and a note says so.

    Returns
    -------
    str
        One line, so that a Markdown component takes it as one HTML block; empty for empty text.
        Images are named, not loaded; headings start at level 4, below those of the page.
    """
    html = _clean(_MARKDOWN.render(text[:SHOWN_CHARACTERS]))
    return html + (_CUT if len(text) > SHOWN_CHARACTERS else "")


class GrowingMarkdown:
    """Render a text that grows, at a cost that depends on its last block only.

    Text that is appended can change nothing but the last block (a paragraph, list, table or code
    fence), so all before it is rendered once. A formula over several paragraphs is the exception:
    it is put right by `render_markdown`, which draws the complete text.
    """

    def __init__(self) -> None:
        self._html = ""
        self._n_closed = 0

    def render(self, text: str) -> str:
        """Return the HTML of a text that starts with every text given before.

        Code in the last block is not highlighted yet.
        """
        tail = text[self._n_closed : SHOWN_CHARACTERS]
        # A line that is not complete may yet turn out to belong to the block before it.
        n_closed = _start_of_last_block(tail[: tail.rfind("\n") + 1])
        if n_closed:
            self._html += _clean(_MARKDOWN.render(tail[:n_closed]))
            self._n_closed += n_closed
        return self._html + _clean(_PLAIN_MARKDOWN.render(tail[n_closed:]))


def _start_of_last_block(text: str) -> int:
    """Return the index at which the last top-level block starts; 0 if there is at most one."""
    starts = [token.map[0] for token in _MARKDOWN.parse(text) if token.level == 0 and token.map]
    if not starts or starts[-1] == 0:
        return 0
    return sum(map(len, text.splitlines(keepends=True)[: starts[-1]]))


def _clean(html: str) -> str:
    return _CLEANER.clean(html).replace("\n", "&#10;")


def _formula(latex: str, *, display: str) -> str:
    """Return MathML; source that can't be converted is shown as it stands.

    The converter lets mark-up in text boxes through, so that its output is cleaned here already,
    where nothing but maths is permitted.
    """
    try:
        if len(latex) > FORMULA_CHARACTERS:
            raise ValueError
        return _MATHS_CLEANER.clean(convert(latex.strip(), display=display))
    except Exception:  # The converter raises whatever a malformed formula runs into.
        return f"<code>{escape(latex)}</code>"


def _highlighted(code: str, language: str, _attributes: str) -> str:
    """Return code with classes for its parts; escaped as it stands if the language is unknown."""
    if not language or len(code) > HIGHLIGHTED_CHARACTERS:
        return escape(code)
    try:
        lexer = find_lexer_class_by_name(language)(stripnl=False)
    except ClassNotFound:
        return escape(code)
    return highlight(code, lexer, HtmlFormatter(nowrap=True))


def _heading(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[idx]
    level = min(6, int(token.tag[1]) + 3)
    return f"<{'/' if token.nesting < 0 else ''}h{level}>"


def _image(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
) -> str:
    alt = self.renderInlineAsText(tokens[idx].children or [], options, env)
    return f'<span class="image">{escape(alt)}</span>'


def _code_block(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
) -> str:
    """Wide code scrolls; the tab stop lets the keyboard do it too."""
    token = tokens[idx]
    language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
    draw = options.highlight or (lambda code, *_: escape(code))
    return f'<pre tabindex="0"><code>{draw(token.content, language, "")}</code></pre>\n'


def _table(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
) -> str:
    opens = tokens[idx].nesting > 0
    return '<div class="table" tabindex="0"><table>' if opens else "</table></div>"


def _inline_formula(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
) -> str:
    return _formula(tokens[idx].content, display="inline")


def _block_formula(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
) -> str:
    return f'<div class="formula">{_formula(tokens[idx].content, display="block")}</div>'


def _parser(**options: Any) -> MarkdownIt:
    """Return CommonMark with tables, strikethrough and maths, without raw HTML.

    Definitions of link references are off: they would let a text change what stands before it.
    """
    parser = MarkdownIt("commonmark", {"html": False, **options})
    parser.enable(["table", "strikethrough"]).disable("reference")
    parser.use(dollarmath_plugin, allow_space=False, allow_digits=False, double_inline=True)
    parser.use(texmath_plugin, delimiters="brackets")
    rules = {
        "fence": _code_block,
        "code_block": _code_block,
        "heading_open": _heading,
        "heading_close": _heading,
        "image": _image,
        "table_open": _table,
        "table_close": _table,
        "math_inline": _inline_formula,
        "math_inline_double": _block_formula,
        "math_block": _block_formula,
        "math_block_label": _block_formula,
        "math_block_eqno": _block_formula,
    }
    for name, rule in rules.items():
        parser.add_render_rule(name, rule)
    return parser


_MARKDOWN = _parser(highlight=_highlighted)
_PLAIN_MARKDOWN = _parser()
_MATHS_CLEANER = nh3.Cleaner(tags=MATHS_TAGS, attributes=MATHS_ATTRIBUTES)
_CLEANER = nh3.Cleaner(
    tags=TEXT_TAGS | MATHS_TAGS,
    attributes=TEXT_ATTRIBUTES | MATHS_ATTRIBUTES,
    allowed_classes=CLASSES,
    set_tag_attribute_values=LINKS,
    url_schemes=URL_SCHEMES,
    link_rel="noopener noreferrer nofollow",
)
_CUT = '<p class="note answer_cut">The rest of this answer is too long to be shown.</p>'
