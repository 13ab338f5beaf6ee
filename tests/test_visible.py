import pytest

from evalcore.visible import cut, one_line, visible


@pytest.mark.parametrize("sign", ["\x00", "\x1b", "\x7f", "\x85", "\ud800", "\u202e", "\u2066"])
def test_signs_that_hide_or_turn_text_are_shown(sign):
    shown = visible(f"a{sign}b")
    assert sign not in shown
    assert len(shown) > 2


def test_line_ends_tabs_and_scripts_of_the_world_stay():
    assert visible("a\r\nb\rc\td שלום 日本語 👩‍🔬") == "a\nb\nc\td שלום 日本語 👩‍🔬"


def test_long_name_is_cut_in_the_middle():
    assert one_line("base+adapter-one\n+adapter-two", longest=11) == "base+…r-two"


def test_long_text_says_what_is_missing():
    assert cut("x" * 1_000_000, 10) == "x" * 10 + "… (999,990 more characters)"
