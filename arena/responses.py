"""What the API answers: JSON built field by field, so that nothing slips out with a record."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from arena.records import BattleView, Finished, Progress, Receipt, Reveal, VoteStatus, Waiting
from arena.refusals import Refused

__all__ = ["next_json", "receipt_json", "refusal", "reveal_json", "view_json"]


def view_json(view: BattleView) -> dict[str, Any]:
    """Return a battle as its rater may know it: no model, no timing, no finding.

    No category either: known items of a study may have another one than all the rest.
    """
    return {
        "battle_id": view.battle_id,
        "token": view.token,
        "status": view.status,
        "turns": [
            {
                "prompt": [{"role": m.role, "content": m.content} for m in turn.prompt],
                "answers": [answer.text for answer in turn.answers],
            }
            for turn in view.turns
        ],
        "form": {
            "kind": view.form.kind,
            "allows_tie": view.form.allows_tie,
            "allows_both_bad": view.form.allows_both_bad,
            "scales": view.form.scales,
            "reasons": view.form.reasons,
        },
        "receipt": None if view.receipt is None else receipt_json(view.receipt),
        "progress": _progress_json(view.progress),
        "place": view.place,
    }


def next_json(found: BattleView | Waiting | Finished) -> dict[str, Any]:
    """Return what to show next."""
    match found:
        case BattleView():
            return {"battle": view_json(found)}
        case Waiting():
            return {"waiting": {"message": found.message, "place": found.place}}
        case Finished():
            return {"finished": {"reason": found.reason, "message": found.message}}


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt; a gold item's looks like any other, or it would be none."""
    is_plain = receipt.status is VoteStatus.UNRATED
    return {
        "id": receipt.id,
        "battle_id": receipt.battle_id,
        "choice": receipt.choice,
        "ranking": receipt.ranking,
        "status": VoteStatus.COUNTED if is_plain else receipt.status,
        "revision": receipt.revision,
        "sealed": receipt.sealed,
        "created_utc": receipt.created_utc,
    }


def reveal_json(reveal: Reveal | None) -> dict[str, Any] | None:
    """Return the names, if they may be told."""
    return None if reveal is None else {"names": reveal.names, "note": reveal.note}


def refusal(error: Refused) -> JSONResponse:
    """Return a refusal with its status."""
    wait = error.retry_after_s
    headers = None if wait is None else {"Retry-After": str(wait)}
    content = {"code": error.code, "message": str(error)}
    return JSONResponse(content, status_code=error.http_status, headers=headers)


def _progress_json(progress: Progress | None) -> dict[str, Any] | None:
    return None if progress is None else {"done": progress.done, "total": progress.total}
