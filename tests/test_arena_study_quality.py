"""Careless and dishonest raters are flagged; honest ones, as a rule, are not."""

import random

import pytest

from arena.quality import CastVote, QualityRules, check_raters
from evalcore.stats.interval_agreement import interval_alpha
from evalcore.stats.labels import Labels

UNITS = 60


def honest(name: str, rng: random.Random, n: int = UNITS, **changes) -> list[CastVote]:
    """Two in three labels are the unit's own, the rest drawn."""
    votes = []
    for unit in range(n):
        truth = "model_a" if unit % 2 else "model_b"
        label = truth if rng.random() < 2 / 3 else rng.choice(["model_a", "model_b", "tie"])
        votes.append(cast(name, unit, label, rng, **changes))
    return votes


def cast(name: str, unit: int, label: str, rng: random.Random, **changes) -> CastVote:
    position = None if label == "tie" else rng.randrange(2)
    fields = {
        "rater": name,
        "choice": "tie" if position is None else ("left", "right")[position],
        "position": position,
        "opinions": {(f"u{unit}", "A", "B"): label},
        "shown_s": rng.uniform(5, 30),
        "created_s": 60.0 * unit,
    }
    return CastVote(**fields | changes)


def crowd(n: int = 8, seed: int = 0) -> list[CastVote]:
    return [vote for k in range(n) for vote in honest(f"h{k}", random.Random(f"{seed} {k}"))]


def flags_of(votes: list[CastVote], rater: str, rules: QualityRules | None = None) -> set[str]:
    found = {one.rater: {flag.check for flag in one.flags} for one in check_raters(votes, rules)}
    assert not {name: f for name, f in found.items() if name.startswith("h") and f}
    return found[rater]


def test_no_votes_give_no_raters():
    assert check_raters([]) == []


def test_honest_raters_are_rarely_flagged():
    flagged = sum(bool(one.flags) for seed in range(30) for one in check_raters(crowd(6, seed)))
    assert flagged <= 3


def test_fast_votes_are_flagged_by_browser_or_server():
    votes = honest("bad", random.Random(1), shown_s=1.0)
    assert flags_of(crowd() + votes, "bad") == {"speed"}


def test_burst_of_votes_is_flagged_whatever_the_browser_says():
    rng = random.Random(1)
    votes = [
        cast("bad", unit, ["model_a", "model_b"][unit % 2 == 0], rng, created_s=float(unit))
        for unit in range(30)
    ]
    assert "speed" in flags_of(crowd() + votes, "bad")


def test_always_left_is_flagged_as_one_choice_and_one_side():
    votes = honest("bad", random.Random(1), choice="left", position=0)
    assert flags_of(crowd() + votes, "bad") == {"one choice", "one side"}


def test_mostly_left_is_flagged_as_one_side():
    rng = random.Random(1)
    votes = honest("bad", rng)
    votes = [
        CastVote(
            **{name: getattr(vote, name) for name in vote.__slots__} | {"position": int(n % 6 == 0)}
        )
        for n, vote in enumerate(votes)
    ]
    assert flags_of(crowd() + votes, "bad") == {"one side"}


@pytest.mark.parametrize(("n_right", "flagged"), [(2, True), (3, False), (4, False)])
def test_too_few_known_items_right_are_flagged(n_right: int, flagged: bool):
    votes = honest("bad", random.Random(1))
    votes += [cast("bad", 100 + n, "tie", random.Random(n), is_right=n < n_right) for n in range(4)]
    assert flags_of(crowd() + votes, "bad") == ({"gold"} if flagged else set())


def test_two_wrong_known_items_are_too_few_to_flag():
    votes = honest("bad", random.Random(1))
    votes += [cast("bad", 100 + n, "tie", random.Random(n), is_right=False) for n in range(2)]
    assert flags_of(crowd() + votes, "bad") == set()


def test_labels_against_all_others_are_flagged():
    rng = random.Random(1)
    votes = [cast("bad", unit, "model_b" if unit % 2 else "model_a", rng) for unit in range(UNITS)]
    assert flags_of(crowd() + votes, "bad") == {"agreement"}


def test_two_raters_with_the_same_labels_are_flagged_and_named():
    rng = random.Random(5)
    labels = [rng.choice(["model_a", "model_b", "tie"]) for _ in range(UNITS)]
    votes = [cast(name, unit, labels[unit], rng) for name in ("x", "y") for unit in range(UNITS)]
    found = {one.rater: one for one in check_raters(crowd() + votes)}
    doubles = {
        name: [flag.other for flag in found[name].flags if flag.check == "double"]
        for name in ("x", "y")
    }
    assert doubles == {"x": ["y"], "y": ["x"]}


def test_rater_with_a_large_share_is_flagged():
    votes = honest("bad", random.Random(1), n=400)
    assert "share" in flags_of(crowd(30) + votes, "bad")


def test_two_raters_of_equal_part_have_no_large_share():
    found = check_raters(crowd(2))
    assert not [one for one in found if "share" in {flag.check for flag in one.flags}]


def test_raters_at_one_address_are_counted():
    votes = [
        cast(name, 0, "tie", random.Random(0), address=where)
        for name, where in (("x", "one"), ("y", "one"), ("z", "other"))
    ]
    assert {one.rater: one.n_same_address for one in check_raters(votes)} == {
        "x": 1,
        "y": 1,
        "z": 0,
    }


def test_rules_of_the_study_count():
    votes = honest("bad", random.Random(1), shown_s=8.0)
    assert flags_of(crowd() + votes, "bad", QualityRules(least_visible_s=4.0)) == set()
    found = check_raters(crowd() + votes, QualityRules(least_visible_s=10.0, most_fast_share=0.5))
    assert {one.rater for one in found if one.flags} == {"bad"}


KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""


def labels_of_table(text: str) -> Labels:
    cells = [
        (unit, rater, float(value))
        for rater, row in enumerate(text.split("\n"))
        for unit, value in enumerate(row.split())
        if value != "."
    ]
    units, raters, values = zip(*cells, strict=True)
    import numpy as np

    return Labels(units=np.array(units), raters=np.array(raters), labels=np.array(values))


def test_interval_alpha_of_the_published_example():
    """Krippendorff (2011), Computing Krippendorff's alpha-reliability, example E: 0.849."""
    found = interval_alpha(labels_of_table(KRIPPENDORFF))
    assert found.value == pytest.approx(0.849, abs=5e-4)
    assert (found.n, found.n_unscored) == (11, 1)
    assert found.low < found.value < found.high


def test_interval_alpha_knows_nothing_of_equal_or_single_values():
    assert interval_alpha(labels_of_table("1 1 1\n1 1 1")).value != 1.0
    single = interval_alpha(labels_of_table("1 2 3"))
    assert (single.n, single.low, single.high) == (0, -1.0, 1.0)
