"""What the page draws of a battle, frame by frame, until every answer is complete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from arena.page.pacing import Pacer, Pacing, Written
from arena.page.rendering import GrowingMarkdown, render_markdown
from arena.records import BattleStatus, BattleView, Turn
from evalcore.records import Message

__all__ = ["Draft", "Drafts", "Frame", "frames", "no_drafts"]

_UNWRITTEN = (BattleStatus.CREATED, BattleStatus.STREAMING)
_ENDED = (BattleStatus.SKIPPED, BattleStatus.EXPIRED, BattleStatus.VOID)
_LOOK_AGAIN_S = 1.0
_BEAT_S = 3.0
"""A frame at least this often, so that the browser knows that somebody is there."""
_EMPTY_ANSWER = '<p class="note answer_empty">(no text)</p>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An answer as far as it is written; masked already."""

    text: str
    is_complete: bool


Drafts = Callable[[str], Sequence[Draft]]
"""From a battle's id to the answers of its present turn, by position; empty if they are not being
written in this process."""


def no_drafts(battle_id: str) -> Sequence[Draft]:
    """Return nothing: all answers are stored ones, or written elsewhere."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """HTML of what was asked, and of each answer by position."""

    conversation: str
    answers: tuple[str, ...]


async def frames(
    look: Callable[[], Awaitable[BattleView | None]],
    drafts: Drafts,
    *,
    n_answers: int = 2,
    pacing: Pacing | None = None,
) -> AsyncIterator[Frame]:
    """Yield a frame whenever there is something new to see.

    A battle that is complete at the first look is one frame: stored answers have no rhythm to
    hide. Any other is shown at the pace of its slowest answer, whether it is written in this
    process or arrives whole from another one. Only the last frame is marked, as complete or as
    ended without its answers, which is also what is drawn without a battle.

    Parameters
    ----------
    look
        Reads the rater's open battle; None without one.
    drafts
        Answers that are being written.
    n_answers
        Answers of a battle.
    pacing
        Settings of the clock.
    """
    pacing = pacing or Pacing()
    view = await look()
    if view is None:
        yield _ended_frame(n_answers)
        return
    if view.status not in _UNWRITTEN:
        yield _complete_frame(view)
        return
    pacer, growing = Pacer(pacing), [GrowingMarkdown() for _ in range(n_answers)]
    shown, drawn_s, n_drawn = -1, 0.0, 0
    while True:
        now_s, written = time.monotonic(), drafts(view.battle_id) or _stored(view)
        progress = [Written(n_characters=len(d.text), is_complete=d.is_complete) for d in written]
        position = pacer.advance(now_s, progress) if written else 0
        if pacer.is_over(progress) and view.status not in _UNWRITTEN:
            yield _complete_frame(view)
            return
        if position > shown or now_s > drawn_s + _BEAT_S:
            shown, drawn_s, n_drawn = position, now_s, n_drawn + 1
            texts = [draft.text[:position] for draft in written] or [""] * n_answers
            answers = [g.render(text) for g, text in zip(growing, texts, strict=True)]
            yield _frame(view, answers, mark=f"growing beat-{n_drawn}")
        await asyncio.sleep(pacing.tick_s if written else _LOOK_AGAIN_S)
        if view.status in _UNWRITTEN and all(draft.is_complete for draft in written):
            latest = await look()
            if latest is None or latest.battle_id != view.battle_id or latest.status in _ENDED:
                yield _ended_frame(n_answers)
                return
            view = latest


def _stored(view: BattleView) -> list[Draft]:
    """Return the answers of the present turn that are in the database; none or all are."""
    return [Draft(text=a.text, is_complete=True) for a in view.turns[-1].answers]


def _complete_frame(view: BattleView) -> Frame:
    texts = [answer.text for answer in view.turns[-1].answers]
    answers = [render_markdown(text) or _EMPTY_ANSWER for text in texts]
    return _frame(view, answers, mark=f"complete-{view.battle_id}-{len(view.turns)}")


def _ended_frame(n_answers: int) -> Frame:
    """Return a frame that differs from all others, so that the browser notices it."""
    vessel = _vessel("", mark=f"ended at-{time.monotonic_ns()}")
    return Frame(conversation=vessel, answers=(vessel,) * n_answers)


def _frame(view: BattleView, answers: Sequence[str], *, mark: str) -> Frame:
    earlier = [_earlier_turns(view.turns, position) for position in range(len(answers))]
    return Frame(
        conversation=_vessel("".join(map(_message, view.turns[0].prompt)), mark=mark),
        answers=tuple(
            _vessel(before + answer, mark=mark)
            for before, answer in zip(earlier, answers, strict=True)
        ),
    )


def _earlier_turns(turns: Sequence[Turn], position: int) -> str:
    """Return one side's conversation up to the present answer, but for the first prompt."""
    parts = []
    for before, turn in pairwise(turns):
        parts.append(render_markdown(before.answers[position].text) or _EMPTY_ANSWER)
        parts.extend(map(_message, turn.prompt))
    return "".join(parts)


def _message(message: Message) -> str:
    body = render_markdown(message.content)
    return f'<div class="message {escape(message.role)}">{body}</div>'


def _vessel(html: str, *, mark: str) -> str:
    """Wrap in one block, with battle and turn as a class when nothing more will come.

    Classes are the only attributes that Gradio's own sanitiser lets through.
    """
    return f'<div class="vessel {escape(mark)}">{html}</div>'
