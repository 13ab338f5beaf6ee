"""The database owns the battle: what can be done to it, and what can't."""

import asyncio
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from arena.arena import Arena
from arena.audit import first_broken_entry
from arena.battles import draw_sides
from arena.fake import FakeSource
from arena.records import Ballot, BattleStatus, BattleView, Finished, Form, Rater, VoteStatus
from arena.refusals import Refused
from evalcore.errors import InputError
from evalcore.records import Comparison
from evalcore.store import Store
from evalcore.store.arena_schema import audit, battle, vote, vote_event

OpenArena = Callable[..., Arena]
ALICE, BOB = (Rater(id=name * 4) for name in ("alice", "bobby"))


def next_of(arena: Arena, rater: Rater = ALICE, **options: bool) -> BattleView:
    view = asyncio.run(arena.next(rater, **options))
    assert isinstance(view, BattleView)
    return view


def cast(arena: Arena, view: BattleView, choice: str = "left", *, rater=ALICE, reveal=False):
    return asyncio.run(arena.vote(rater, view.token, Ballot(choice=choice), reveal=reveal))


def rows(store: Store, table: sa.Table) -> list[sa.Row]:
    with store.engine.connect() as connection:
        return list(connection.execute(table.select()))


def comparisons(store: Store) -> list[Comparison]:
    return list(store.comparisons())


def test_battle_asked_again_is_the_same_with_the_same_sides(open_arena: OpenArena):
    arena = open_arena()
    assert next_of(arena) == next_of(arena)
    assert next_of(arena, BOB).battle_id != next_of(arena).battle_id


def test_view_names_no_model(open_arena: OpenArena):
    text = repr(next_of(open_arena(models=("sentinel-a", "sentinel-b"))))
    assert "sentinel" not in text


def test_sides_are_drawn_both_ways_and_again_from_their_seed():
    drawn = [draw_sides(2, seed) for seed in range(400)]
    assert 150 < drawn.count((0, 1)) < 250
    assert draw_sides(5, 7) == draw_sides(5, 7)


@pytest.mark.parametrize("choice", ["left", "right", "tie", "both_bad"])
def test_vote_becomes_a_comparison_of_the_right_models(
    open_arena: OpenArena, arena_store: Store, choice: str
):
    arena = open_arena()
    for _ in range(6):
        _, reveal = cast(arena, next_of(arena), choice, reveal=True)
        assert reveal is not None
    found_by_id = {found.id: found for found in comparisons(arena_store)}
    for row in rows(arena_store, battle):
        found = found_by_id[row.id]
        shown = [("alpha", "beta")[place] for place in row.sides]
        preferred = {"left": shown[0], "right": shown[1]}.get(choice, choice)
        winner = {"model_a": found.model_a, "model_b": found.model_b}
        assert winner.get(found.winner, found.winner) == preferred
        assert found.swapped == (shown[0] == "beta")
        assert (found.rater, found.rater_kind) == (ALICE.id, "human")


def test_reveal_names_what_was_shown(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    _, reveal = cast(arena, next_of(arena), reveal=True)
    (row,) = rows(arena_store, battle)
    assert reveal.names == tuple(row.names[place] for place in row.sides)


def test_same_vote_again_has_the_same_receipt_and_one_row(
    open_arena: OpenArena, arena_store: Store
):
    arena = open_arena()
    view = next_of(arena)
    receipts = {cast(arena, view)[0] for _ in range(3)}
    assert len(receipts) == len(rows(arena_store, vote)) == len(comparisons(arena_store)) == 1


def test_votes_at_the_same_moment_make_one_row(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    view = next_of(arena)

    async def twenty() -> set[str]:
        ballots = [Ballot(choice="left")] * 20
        votes = [arena.vote(ALICE, view.token, ballot, reveal=True) for ballot in ballots]
        return {receipt.id for receipt, _ in await asyncio.gather(*votes)}

    assert len(asyncio.run(twenty())) == 1
    assert len(rows(arena_store, vote)) == len(comparisons(arena_store)) == 1


def test_vote_changed_before_the_reveal_is_a_revision(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    view = next_of(arena)
    first, reveal = cast(arena, view, "left")
    second, _ = cast(arena, view, "tie")
    assert reveal is None
    assert (first.revision, second.revision) == (1, 2)
    assert first.id != second.id
    assert [found.winner for found in comparisons(arena_store)] == ["tie"]
    assert [row.kind for row in rows(arena_store, vote_event)] == ["cast", "changed"]


def test_vote_can_not_change_after_the_reveal(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    view = next_of(arena)
    receipt, _ = cast(arena, view, "left", reveal=True)
    with pytest.raises(Refused, match="names are known"):
        cast(arena, view, "right")
    again, reveal = cast(arena, view, "left")
    assert (again, reveal is not None) == (receipt, True)
    assert rows(arena_store, vote)[0].choice == "left"


def test_undone_vote_counts_no_more_and_its_battle_is_open(
    open_arena: OpenArena, arena_store: Store
):
    arena = open_arena()
    view = next_of(arena)
    cast(arena, view)
    reopened = asyncio.run(arena.undo(ALICE, view.token))
    assert (reopened.status, reopened.receipt) == (BattleStatus.READY, None)
    assert comparisons(arena_store) == []
    assert next_of(arena).battle_id == view.battle_id
    assert cast(arena, view, "right")[0].revision == 2


def test_undo_after_the_reveal_is_refused(open_arena: OpenArena):
    arena = open_arena()
    view = next_of(arena)
    cast(arena, view, reveal=True)
    with pytest.raises(Refused, match="names are known"):
        asyncio.run(arena.undo(ALICE, view.token))


def test_voted_battle_is_resumed_until_its_names_are_told(open_arena: OpenArena):
    arena = open_arena()
    view = next_of(arena)
    receipt, _ = cast(arena, view)
    assert next_of(arena).receipt == receipt
    assert next_of(arena, advance=True).battle_id != view.battle_id
    with pytest.raises(Refused, match="names are known"):
        cast(arena, view, "right")


def test_mistake_is_left_out_and_not_rewritten(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    view = next_of(arena)
    cast(arena, view, reveal=True)
    for _ in range(2):
        receipt = asyncio.run(arena.report_mistake(ALICE, view.token, "wrong key"))
        assert receipt.status is VoteStatus.MISTAKEN
    assert comparisons(arena_store) == []
    assert rows(arena_store, vote)[0].choice == "left"
    assert [row.kind for row in rows(arena_store, vote_event)] == ["cast", "mistake"]


def test_comment_after_the_reveal_is_kept_as_an_event(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    view = next_of(arena)
    cast(arena, view, reveal=True)
    late = Ballot(choice="left", comment="now I see")
    asyncio.run(arena.vote(ALICE, view.token, late, reveal=False))
    assert rows(arena_store, vote)[0].comment == ""
    assert rows(arena_store, vote_event)[-1].detail["comment"] == "now I see"


def test_token_of_somebody_else_is_unknown(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    view = next_of(arena)
    with pytest.raises(Refused, match="no such battle"):
        cast(arena, view, rater=BOB)
    assert rows(arena_store, vote) == []


def test_token_is_stored_as_a_hash_alone(open_arena: OpenArena, arena_store: Store):
    token = next_of(open_arena()).token
    assert len(token) == 32  # 192 bits
    assert token not in repr(rows(arena_store, battle))


def test_skip_ends_a_battle_with_its_reason(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    view = next_of(arena)
    for _ in range(2):
        asyncio.run(arena.skip(ALICE, view.token, "not my field"))
    (row,) = rows(arena_store, battle)
    assert (row.status, row.reason) == ("skipped", "not my field")
    with pytest.raises(Refused):
        cast(arena, view)
    assert next_of(arena).battle_id != view.battle_id


def test_battle_open_for_too_long_can_not_be_voted_on(open_arena: OpenArena, arena_store: Store):
    now = [1_000_000]
    arena = open_arena(clock=lambda: now[0], battle_lifetime_s=60)
    view = next_of(arena)
    now[0] += 61_000
    with pytest.raises(Refused, match="open for too long"):
        cast(arena, view)
    asyncio.run(arena.tidy())
    assert rows(arena_store, battle)[0].status == "expired"
    assert next_of(arena).battle_id != view.battle_id


def test_vote_knows_how_long_it_took(open_arena: OpenArena, arena_store: Store):
    now = [1_000_000]
    arena = open_arena(clock=lambda: now[0])
    view = next_of(arena)
    now[0] += 2_500
    cast(arena, view)
    assert rows(arena_store, vote)[0].elapsed_ms == 2_500


def test_items_end(open_arena: OpenArena):
    arena = open_arena(n_items=1)
    cast(arena, next_of(arena), reveal=True)
    assert isinstance(asyncio.run(arena.next(ALICE)), Finished)


def test_vote_of_an_unrated_battle_makes_no_comparison(open_arena: OpenArena, arena_store: Store):
    arena = open_arena(rated=False)
    receipt, _ = cast(arena, next_of(arena))
    assert receipt.status is VoteStatus.UNRATED
    assert comparisons(arena_store) == []


def test_ranking_makes_all_pairs(open_arena: OpenArena, arena_store: Store):
    arena = open_arena(models=("a", "b", "c"), form=Form(kind="ranking"))
    view = next_of(arena)
    (row,) = rows(arena_store, battle)
    ranks = (1, 2, 2)
    asyncio.run(arena.vote(ALICE, view.token, Ballot(ranking=ranks), reveal=True))
    rank_of = {"abc"[place]: ranks[position] for position, place in enumerate(row.sides)}
    found = {(c.model_a, c.model_b): c.winner for c in comparisons(arena_store)}
    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}
    for (one, other), winner in found.items():
        difference = rank_of[one] - rank_of[other]
        expected = "tie" if not difference else "model_a" if difference < 0 else "model_b"
        assert winner == expected


@pytest.mark.parametrize(
    "ballot",
    [
        Ballot(),
        Ballot(choice="tie"),
        Ballot(choice="left", ranking=(1, 2)),
        Ballot(choice="left", ratings={"help": (1, 6)}),
        Ballot(choice="left", ratings={"help": (1,)}),
        Ballot(choice="left", ratings={"help": (1, 2)}, reasons=("invented",)),
    ],
)
def test_ballot_that_does_not_fit_the_form_is_refused(
    open_arena: OpenArena, arena_store: Store, ballot: Ballot
):
    arena = open_arena(form=Form(allows_tie=False, scales={"help": (1, 5)}))
    view = next_of(arena)
    with pytest.raises(Refused):
        asyncio.run(arena.vote(ALICE, view.token, ballot, reveal=False))
    assert rows(arena_store, vote) == []


def test_void_and_unvoid_with_reason_are_in_the_audit_log(
    open_arena: OpenArena, arena_store: Store
):
    arena = open_arena()
    view = next_of(arena)
    cast(arena, view, reveal=True)
    (kept,) = comparisons(arena_store)
    arena.review.void(view.battle_id, actor="root", reason="a bot")
    assert comparisons(arena_store) == []
    arena.review.unvoid(view.battle_id, actor="root", reason="not a bot")
    assert comparisons(arena_store) == [kept]
    log = [(row.actor, row.action, row.detail["reason"]) for row in rows(arena_store, audit)]
    assert log == [("root", "void", "a bot"), ("root", "unvoid", "not a bot")]


def test_void_without_reason_is_refused(open_arena: OpenArena):
    arena = open_arena()
    with pytest.raises(InputError, match="reason must be given"):
        arena.review.void(next_of(arena).battle_id, actor="root", reason=" ")


def test_changed_audit_log_is_found_out(open_arena: OpenArena, arena_store: Store):
    arena = open_arena()
    view = next_of(arena)
    cast(arena, view, reveal=True)
    for act in (arena.review.void, arena.review.unvoid, arena.review.void):
        act(view.battle_id, actor="root", reason="why")
    with arena_store.engine.begin() as connection:
        assert first_broken_entry(connection) is None
        connection.execute(audit.update().where(audit.c.id == 2).values(actor="nobody"))
        assert first_broken_entry(connection) == 2


def test_vote_that_can_not_be_verified_is_kept_and_can_be_accepted(
    open_arena: OpenArena, arena_store: Store
):
    class Broken:
        async def verify(self, rater: Rater, evidence: str) -> bool:
            raise ConnectionError("captcha service is down")

    arena = open_arena(verifier=Broken())
    view = next_of(arena)
    receipt, _ = cast(arena, view)
    assert receipt.status is VoteStatus.UNVERIFIED
    assert comparisons(arena_store) == []
    assert b'outages_total{part="verifier"} 1.0' in arena.telemetry.text()
    arena.review.accept(view.battle_id, actor="root", reason="a person")
    assert len(comparisons(arena_store)) == 1


def test_slow_verifier_counts_as_out_of_order(open_arena: OpenArena):
    class Slow:
        async def verify(self, rater: Rater, evidence: str) -> bool:
            await asyncio.Event().wait()
            return True

    arena = open_arena(verifier=Slow(), verification_timeout_s=0.01)
    receipt, _ = cast(arena, next_of(arena))
    assert receipt.status is VoteStatus.UNVERIFIED


def test_source_hears_what_becomes_of_its_battles(open_arena: OpenArena):
    arena = open_arena()
    assert isinstance(arena.source, FakeSource)
    view = next_of(arena)
    cast(arena, view)
    asyncio.run(arena.undo(ALICE, view.token))
    asyncio.run(arena.skip(ALICE, view.token, "no"))
    heard = [status for status, _ in arena.source.settlements]
    assert heard == [BattleStatus.VOTED, BattleStatus.READY, BattleStatus.SKIPPED]
