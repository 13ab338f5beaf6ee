"""One leaderboard from automated scores, people's votes and judges' verdicts."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evalcore.errors import InputError
from evalcore.records import Comparison, ModelSpec
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.ratings import rate_votes
from evalcore.store import Store, open_store
from evalcore.votes import Votes
from leaderboards.asking import board_request
from leaderboards.flat import flat_rows
from leaderboards.request import BoardRequest
from leaderboards.standings import standings

GOOD = [1.0] * 70 + [0.0] * 30
POOR = [1.0] * 10 + [0.0] * 90


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "out") as store:
        for name in "abc":
            store.add_model(model(name))
        yield store


def model(name: str) -> ModelSpec:
    return ModelSpec(name=name, backend="fake", weights=name)


def vote(number: int, a: str, b: str, winner: str, **given) -> Comparison:
    return Comparison(
        **{
            "id": f"{given.get('rater_kind', 'human')}{a}{b}{number}",
            "example_id": f"e{number}",
            "model_a": model(a).fingerprint,
            "model_b": model(b).fingerprint,
            "winner": winner,
            "rater": f"r{number % 6}",
            "rater_kind": "human",
            "swapped": False,
            "created_utc": "2026-01-01T00:00:00Z",
            **given,
        }
    )


def votes(kind: str = "human", *, shares: dict[str, int]) -> list[Comparison]:
    """Forty votes on each pair, of which the first model wins the given number."""
    return [
        vote(k, *pair, "model_a" if k * 7 % 40 < wins else "model_b", rater_kind=kind)
        for pair, wins in shares.items()
        for k in range(40)
    ]


HUMAN = votes(shares={"ab": 30, "bc": 30, "ac": 34})
JUDGE = votes("judge", shares={"ab": 28, "bc": 30, "ac": 32})


def rows(board) -> dict[str, dict]:
    return {row["model"]: row for row in flat_rows(board)}


def test_votes_alone_make_a_board(store):
    store.add_comparisons(HUMAN)
    board = standings(store)
    assert (board.ranked_by, board.columns) == ("human", ())
    assert [s.model.name for s in board.standings] == ["a", "b", "c"]
    assert board.standings[0].tie_group == "a"


def test_ratings_of_a_source_are_those_of_rate(store):
    store.add_comparisons(HUMAN)
    board = standings(store)
    expected = rate_votes(Votes.from_comparisons(HUMAN), RatingOptions())
    low, high = expected.confidence_interval(0.95)
    for place, fingerprint in enumerate(expected.models):
        rating = board.source("human").rows[fingerprint].rating
        assert rating.value == pytest.approx(expected.ratings[place], abs=1e-9)
        assert (rating.low, rating.high) == pytest.approx((low[place], high[place]), nan_ok=True)


def test_scores_rank_first_and_votes_stand_beside(store, add_results):
    for name, values in (("a", POOR), ("b", GOOD)):
        add_results(store, model(name), "sums", values)
    store.add_comparisons([*HUMAN, *JUDGE])
    board = standings(store)
    assert [s.model.name for s in board.standings] == ["b", "a", "c"]
    told = rows(board)
    assert (told["b"]["rank"], told["b"]["human_rank"], told["b"]["judge_rank"]) == (1, 2, 2)
    assert (told["c"]["rank"], told["c"]["human_rank"]) == (None, 3)
    assert "c has no rank: no result on sums" in board.warnings


def test_what_ranks_can_be_chosen(store, add_results):
    add_results(store, model("a"), "sums", POOR)
    store.add_comparisons(HUMAN)
    board = standings(store, BoardRequest(by="human"))
    assert [s.model.name for s in board.standings] == ["a", "b", "c"]
    assert board.standings[0].rank == 1
    with pytest.raises(InputError, match="score, human; got 'judge'"):
        standings(store, BoardRequest(by="judge"))


def test_simulated_votes_count_only_where_asked_for_and_are_called_that(store):
    store.add_comparisons([*HUMAN, *votes("simulated", shares={"cb": 40})])
    assert [source.kind for source in standings(store).sources] == ["human"]
    board = standings(store, BoardRequest(kinds=("human", "simulated")))
    assert board.source("simulated").title == "SIMULATED votes"
    assert any("SIMULATED: no person cast them" in text for text in board.warnings)


def test_every_model_is_compared_with_the_reference(store, add_results):
    for name, values in (("a", GOOD), ("b", GOOD), ("c", POOR)):
        add_results(store, model(name), "sums", values)
    store.add_comparisons(HUMAN)
    told = rows(standings(store, BoardRequest(reference="a", margin=0.1)))
    assert told["b"]["human_win_rate"] == 0.25
    assert told["b"]["human_win_rate_n"] == 40
    assert told["c"]["score_win_rate"] == 0.2
    assert told["b"]["score_verdict"] == "at parity within ±0.1"
    assert told["a"]["human_win_rate"] is None


def test_agreement_is_that_of_labels_on_the_same_answers(store):
    store.add_comparisons([*HUMAN, *JUDGE])
    agreement = standings(store).agreement
    by_unit = {}
    for item in [*HUMAN, *JUDGE]:
        key = item.example_id, item.model_a, item.model_b
        by_unit.setdefault(key, {}).setdefault(item.rater_kind, {})[item.rater] = item.winner
    pairs = [
        (said, verdict)
        for unit in by_unit.values()
        for said in unit.get("human", {}).values()
        for verdict in unit.get("judge", {}).values()
    ]
    assert agreement.n_pairs == len(pairs)
    assert agreement.share.value == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    assert agreement.ac1.value > 0


def test_category_leaves_out_other_examples(store, add_results):
    add_results(store, model("a"), "sums", [1.0, 0.0] * 50)  # even examples are right
    board = standings(store, BoardRequest(category="even"))
    assert (board.standings[0].rating.value, board.standings[0].rating.n) == (1.0, 50)
    assert standings(store, BoardRequest(category="odd")).standings[0].rating.value == 0.0


def test_category_that_no_example_has_is_refused(store, add_results):
    add_results(store, model("a"), "sums", [1.0, 0.0] * 50)
    with pytest.raises(InputError, match="category must be one that examples have, even, odd; got"):
        standings(store, BoardRequest(category="none"))


def test_votes_that_name_a_model_and_its_fingerprint_are_of_one_model(store):
    named = [vote(k, "a", "b", "model_a", id=f"n{k}", model_a="a") for k in range(3)]
    store.add_comparisons([*HUMAN, *named])
    board = standings(store)
    assert len(board.standings) == 3
    assert board.source("human").n_comparisons == len(HUMAN) + 3


def test_model_known_by_name_only_has_a_row(store):
    store.add_comparisons([*HUMAN, vote(1, "a", "b", "model_b", id="x", model_b="stranger")])
    told = {s.model.name: s.model.backend for s in standings(store).standings}
    assert told["stranger"] == "imported"


def test_infinite_rating_is_no_number_in_the_table_but_has_a_rank(store):
    store.add_comparisons([vote(k, "a", "b", "model_a") for k in range(9)])
    board = standings(store)
    assert math.isinf(board.standings[0].rating.value)
    told = rows(board)["a"]
    assert (told["rating"], told["rank"]) == (None, 1)


def test_common_keeps_what_all_kinds_of_raters_saw(store):
    mine = [vote(k, "a", "b", "model_a", example_id="only people") for k in range(5)]
    store.add_comparisons([*HUMAN, *JUDGE, *(m for m in mine if m.id)])
    extra = vote(1, "a", "b", "model_a", id="extra", example_id="only people")
    store.add_comparisons([extra])
    board = standings(store, BoardRequest(common=True))
    assert board.source("human").n_comparisons == len(HUMAN)


def test_filters_let_through_what_is_known_to_fit(store):
    store.add_comparisons(HUMAN)
    with pytest.raises(InputError, match="no model is known to pass the filter: licence mit"):
        standings(store, board_request(licences=["MIT"]))
    for name, size in (("a", 7), ("b", 70)):
        store.add_model(replace(model(name), licence="MIT", n_parameters=size * 10**9))
    board = standings(store, board_request(licences=["mit"], size="1B-70B"))
    assert [s.model.name for s in board.standings] == ["a", "b"]
    assert len(standings(store, board_request(size="-10B")).standings) == 1


def test_rows_have_the_same_names_in_the_same_order(store, add_results):
    add_results(store, model("a"), "sums", GOOD)
    store.add_comparisons(HUMAN)
    told = flat_rows(standings(store, BoardRequest(reference="a")))
    assert len({tuple(row) for row in told}) == 1
    assert all(
        value is None or not isinstance(value, float) or math.isfinite(value)
        for row in told
        for value in row.values()
    )
