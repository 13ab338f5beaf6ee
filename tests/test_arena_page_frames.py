"""What is drawn of a battle, and when."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from arena.page.frames import Draft, Frame, frames
from arena.page.pacing import Pacing
from arena.records import Answer, BattleStatus, BattleView, Form, Turn
from evalcore.records import Message

FAST = Pacing(tick_s=0.001, head_start=2, head_start_s=0.0, reserve_s=0.0, fastest=5000.0)
TEXTS = ("left *one*" * 20, "right")


def battle(status: BattleStatus, *, texts: Sequence[str] = ()) -> BattleView:
    answers = tuple(Answer(turn=0, position=p, text=text) for p, text in enumerate(texts))
    turn = Turn(number=0, prompt=(Message(role="user", content="why?"),), answers=answers)
    return BattleView(
        battle_id="b", token="t", status=status, turns=(turn,), form=Form(), category=None
    )


READY = battle(BattleStatus.READY, texts=TEXTS)


def watch(*views: BattleView | None, drafts: Sequence[Sequence[Draft]] = ()) -> list[Frame]:
    """Collect all frames; the last view and the last drafts stay."""
    seen, written = iter(views), iter(drafts)
    last: dict[str, object] = {"view": views[-1], "drafts": drafts[-1] if drafts else ()}

    async def look() -> BattleView | None:
        return next(seen, last["view"])

    async def collect() -> list[Frame]:
        stream = frames(look, lambda _: next(written, last["drafts"]), pacing=FAST)
        return [frame async for frame in stream]

    return asyncio.run(collect())


def test_stored_answers_are_one_complete_frame():
    (frame,) = watch(READY)
    assert "why?" in frame.conversation
    assert all("complete-b-1" in html for html in frame.answers)
    assert "<em>one</em>" in frame.answers[0]


def test_without_a_battle_the_frame_says_so_and_is_new_each_time():
    (first,), (second,) = watch(None), watch(None)
    assert all("ended" in html for html in first.answers)
    assert first != second


def test_answers_grow_together_and_end_complete():
    written = [
        [Draft(text=text[:n], is_complete=n >= len(text)) for text in TEXTS]
        for n in range(0, 220, 20)
    ]
    *growing, last = watch(battle(BattleStatus.STREAMING), READY, drafts=written)
    assert len(growing) > 3
    assert all("growing" in html for frame in growing for html in frame.answers)
    assert last == watch(READY)[0]


def test_answers_of_another_process_arrive_paced_all_the_same():
    *growing, last = watch(battle(BattleStatus.STREAMING), READY)
    assert "complete-b-1" in last.answers[0]
    lengths = [len(frame.answers[0]) for frame in growing]
    assert lengths == sorted(lengths)


def test_a_battle_that_fails_is_drawn_as_ended_on_both_sides():
    frame = watch(battle(BattleStatus.CREATED), battle(BattleStatus.VOID))[-1]
    assert [html.count("ended") for html in frame.answers] == [1, 1]


def test_another_battle_in_its_place_ends_the_frames():
    other = replace(READY, battle_id="c")
    assert "ended" in watch(battle(BattleStatus.CREATED), other)[-1].answers[0]


def test_both_answers_empty_says_so():
    (frame,) = watch(battle(BattleStatus.READY, texts=("", "")))
    assert all("answer_empty" in html for html in frame.answers)


def test_later_turns_stand_under_their_own_side():
    second = Turn(
        number=1,
        prompt=(Message(role="user", content="and then?"),),
        answers=tuple(Answer(turn=1, position=p, text=f"second {p}") for p in range(2)),
    )
    (frame,) = watch(replace(READY, turns=(*READY.turns, second)))
    assert "and then?" not in frame.conversation
    for position, html in enumerate(frame.answers):
        assert html.index("and then?") < html.index(f"second {position}")
    assert "complete-b-2" in frame.answers[0]
