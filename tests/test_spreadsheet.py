import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.spreadsheet import csv_text, harmless, original

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.mark.parametrize("start", STARTS)
def test_text_that_begins_as_a_formula_gets_an_apostrophe(start):
    assert harmless(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


@pytest.mark.parametrize("number", [-0.25, 3, "-0.25", "+1e-9", "-.5", True, None])
def test_numbers_stay_numbers(number):
    assert harmless(number) is number


def test_formula_that_begins_with_digits_of_a_number_is_no_number():
    assert harmless("-1+cmd") == "'-1+cmd"


@given(st.text(st.characters(exclude_categories=("Cc", "Cs"))))
def test_harmless_text_begins_as_no_formula_and_can_be_undone(text):
    made = str(harmless(text))
    assert made[:1] not in ("=", "@")
    assert original(made) == text


def test_control_characters_do_not_reach_the_file():
    assert "\x00" not in csv_text([{"a": "x\x00y\x1b[2J"}])


def test_csv_reads_back_as_it_was_with_missing_cells_empty():
    rows = [{"model": 'a,"b"\nc', "n": 0.1 + 0.2}, {"model": "d", "more": float("nan")}]
    back = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert back[0] == {"model": 'a,"b"\nc', "n": "0.30000000000000004", "more": ""}
    assert back[1] == {"model": "d", "n": "", "more": ""}
