"""The end of a study: locked, exported without identities, and hashed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from arena import audit, votes
from arena.battles import battle_from, set_status
from arena.clock import now_ms, utc_text
from arena.quality import RaterQuality
from arena.recorded import RecordedVote, read_votes
from arena.records import BattleStatus
from arena.studies.registry import RegisteredStudy, load_study
from arena.studies.report import (
    StudyReport,
    html_report,
    markdown_report,
    report_form,
    study_report,
)
from evalcore.codec import to_json
from evalcore.errors import InputError
from evalcore.hashing import content_hash, file_sha256
from evalcore.store import Store
from evalcore.store.arena_schema import battle, study
from evalcore.store.opening import explained

__all__ = ["MANIFEST", "lock_study", "pseudonym", "verify_export"]

MANIFEST = "manifest.json"
_FORMAT = "parity study export 1"


def lock_study(store: Store, name: str, folder: Path, *, actor: str) -> str:
    """End a study for good and write all that it holds into a new folder.

    Open battles expire, votes that could still change are fixed, and no further battle is opened.
    The database then holds the hash of the export's manifest, which holds those of all its files;
    ``parity study verify`` compares them. Raters go by pseudonyms of this export; accounts, links
    and hashes of addresses are not in it.

    Parameters
    ----------
    store
        The workspace.
    name
        The study.
    folder
        Must not exist.
    actor
        Who does it, for the audit log.

    Returns
    -------
    str
        SHA-256 of the manifest.

    Raises
    ------
    InputError
        If there is no such study, it is locked already, or the folder can't be made.
    """
    if folder.exists():
        raise InputError(f"folder {folder} exists already; an export needs a new one")
    engine = store.engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
    with explained(store.where), engine.begin() as connection:
        audit.serialise(connection, f"study {name}")
        if load_study(connection, name).status == "locked":
            raise InputError(f"study {name!r} is locked already")
        at_ms = now_ms()
        _end_battles(connection, name, at_ms)
        row = {"status": "locked", "locked_utc": utc_text(at_ms)}
        connection.execute(study.update().where(study.c.name == name).values(**row))
        report = study_report(connection, load_study(connection, name))
        recorded = read_votes(connection, name, report.study.items)
        export_hash = _write(folder, report, recorded)
        connection.execute(
            study.update().where(study.c.name == name).values(export_hash=export_hash)
        )
        detail = {"export_hash": export_hash, "audit_hash": audit.last_hash(connection)}
        audit.record(connection, actor, action="lock", target=name, detail=detail, now_ms=at_ms)
    return export_hash


def verify_export(folder: Path) -> str:
    """Check every file of an export against its manifest; return the manifest's hash.

    Raises
    ------
    InputError
        Naming the first file that is missing, was changed or does not belong there.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        expected: dict[str, str] = manifest["files"]
    except OSError as error:
        raise InputError(f"{path}: no manifest of an export: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no manifest of an export: {error}") from error
    there = {file.name for file in folder.iterdir()} - {MANIFEST}
    for name in sorted(there ^ expected.keys()):
        problem = "is missing" if name in expected else "does not belong to the export"
        raise InputError(f"{folder / name} {problem}")
    for name, digest in expected.items():
        if file_sha256(folder / name) != digest:
            raise InputError(f"{folder / name} was changed: its hash is not the manifest's")
    return file_sha256(path)


def pseudonym(study_hash: str, rater: str) -> str:
    """Return a rater's name in one study's export; nobody can lead it back without the database."""
    return content_hash([study_hash, rater])[:16]


def _end_battles(connection: Connection, name: str, at_ms: int) -> None:
    query = battle.select().where(battle.c.study == name, battle.c.open_for.is_not(None))
    for found in [battle_from(row) for row in connection.execute(query).all()]:
        if found.status is BattleStatus.VOTED:
            votes.seal(connection, found, now_ms=at_ms)
        else:
            set_status(connection, found, BattleStatus.EXPIRED, reason="study locked")


def _write(folder: Path, report: StudyReport, recorded: Iterable[RecordedVote]) -> str:
    """Write all files, then the folder at once."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            draft = Path(scratch) / folder.name
            draft.mkdir()
            for name, text in _files(report, list(recorded)).items():
                (draft / name).write_text(text, encoding="utf-8")
            files = {path.name: file_sha256(path) for path in sorted(draft.iterdir())}
            manifest = {"format": _FORMAT, "study_hash": report.study.study_hash, "files": files}
            (draft / MANIFEST).write_text(to_json(manifest, indent=2) + "\n", encoding="utf-8")
            export_hash = file_sha256(draft / MANIFEST)
            draft.rename(folder)
    except OSError as error:
        raise InputError(f"export {folder} can't be written: {error.strerror}") from error
    return export_hash


def _files(report: StudyReport, recorded: list[RecordedVote]) -> dict[str, str]:
    found = report.study
    named = {vote.rater: pseudonym(found.study_hash, vote.rater) for vote in recorded}
    anonymous = replace(report, raters=tuple(_renamed(one, named) for one in report.raters))
    return {
        "study.json": to_json(_study_form(found), indent=2) + "\n",
        "items.jsonl": _lines(found.items),
        "votes.jsonl": _lines(_vote_form(vote, named) for vote in recorded),
        "comparisons.jsonl": _lines(
            replace(said, rater=named[said.rater])
            for vote in recorded
            if vote.counts
            for said in vote.comparisons()
        ),
        "raters.jsonl": _lines(anonymous.raters),
        "report.json": to_json(report_form(anonymous), indent=2) + "\n",
        "report.md": markdown_report(anonymous),
        "report.html": html_report(anonymous),
    }


def _renamed(quality: RaterQuality, named: dict[str, str]) -> RaterQuality:
    flags = tuple(replace(flag, other=named.get(flag.other, "")) for flag in quality.flags)
    return replace(quality, rater=named[quality.rater], flags=flags)


def _study_form(found: RegisteredStudy) -> dict[str, Any]:
    return {
        "settings": found.definition.model_dump(mode="json"),
        "study_hash": found.study_hash,
        "created_utc": found.created_utc,
        "locked_utc": found.locked_utc,
        "stop_reason": found.stop_reason,
        "decisions": found.decisions,
    }


def _vote_form(vote: RecordedVote, named: dict[str, str]) -> dict[str, Any]:
    return {
        "id": vote.battle.id,
        "item": vote.battle.item,
        "kind": vote.item.kind if vote.item else "main",
        "example_id": vote.battle.example_id,
        "rater": named[vote.rater],
        "shown": vote.battle.shown_models,
        "choice": vote.ballot.choice,
        "ranking": vote.ballot.ranking,
        "ratings": vote.ballot.ratings,
        "reasons": vote.ballot.reasons,
        "comment": vote.ballot.comment,
        "visible_ms": vote.ballot.visible_ms,
        "elapsed_ms": vote.elapsed_ms,
        "status": str(vote.status),
        "is_right": vote.is_right,
        "leaks": vote.battle.flags.get("leaks", {}),
        "created_utc": vote.created_utc,
    }


def _lines(records: Iterable[Any]) -> str:
    return "".join(to_json(record) + "\n" for record in records)
