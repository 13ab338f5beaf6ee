"""Text from models and people, with what would not be seen, or would hide other text, made visible.

A NUL ends a file for some programs, an escape sequence paints a terminal, and a right-to-left
override turns the words of a page around. All are shown as signs in their place.
"""

from __future__ import annotations

import re

__all__ = ["cut", "one_line", "visible"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_ENDS = re.compile(r"\r\n?")


def visible(text: str) -> str:
    r"""Show control characters and marks that change the direction of writing.

    Line ends become ``\n``, tabs stay. Letters of right-to-left scripts are left as they are: a
    page isolates the passage that they stand in.

    Examples
    --------
    >>> visible("a\x00b\x1b[2J \u202egpj.exe\r\n")
    'a␀b␛[2J [U+202E]gpj.exe\n'
    """
    return _DIRECTION.sub(_named, _CONTROL.sub(_sign, _LINE_ENDS.sub("\n", text)))


def one_line(text: str, *, longest: int | None = None) -> str:
    """Show a text on a single line, cut in its middle where it is longer than permitted.

    Examples
    --------
    >>> one_line("a    b"), one_line("abcdefghij", longest=5)
    ('a b', 'ab…ij')
    """
    line = " ".join(visible(text).split())
    if longest is None or len(line) <= longest:
        return line
    kept = longest - 1
    return f"{line[: kept - kept // 2]}…{line[len(line) - kept // 2 :]}"


def cut(text: str, longest: int) -> str:
    """Show the beginning of a long text, and say how much is missing.

    Examples
    --------
    >>> cut("x" * 1200, 3)
    'xxx… (1,197 more characters)'
    """
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest:,} more characters)"


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"[U+{code:04X}]"


def _named(found: re.Match[str]) -> str:
    return f"[U+{ord(found[0]):04X}]"
