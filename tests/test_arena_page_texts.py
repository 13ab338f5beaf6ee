"""One table of texts: whole, and all that the page asks for is in it."""

import re
from string import Formatter

from arena.page.layout import STATIC
from arena.page.texts import LANGUAGES, TEXTS, texts_in
from arena.refusals import REFUSALS

SCRIPTS = "\n".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))


def filled_in(text: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name)


def test_every_language_fills_in_the_same_values():
    assert not [key for key, row in TEXTS.items() if len(set(map(filled_in, row))) > 1]


def test_every_text_is_there_in_every_language():
    assert {len(row) for row in TEXTS.values()} == {len(LANGUAGES)}
    assert [key for key, row in TEXTS.items() if not all(map(str.strip, row))] == ["nothing"]


def test_every_refusal_of_the_service_can_be_told():
    assert REFUSALS.keys() <= TEXTS.keys()


def test_every_key_that_the_scripts_name_is_in_the_table():
    patterns = [
        r'data-(?:text|label)="(\w+)"',
        r'\bsay\("(\w+)"',
        r'setText\([^;]*?, "(\w+)"',
        r'heading\("(\w+)"\)',
    ]
    named = {key for pattern in patterns for key in re.findall(pattern, SCRIPTS)}
    assert len(named) > 40
    assert named <= TEXTS.keys()


def test_a_language_is_a_flat_table():
    assert texts_in("vi")["tie"] == "Hòa"
    assert texts_in("zh")["left"] == "A 更好"
