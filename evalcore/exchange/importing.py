"""Other tools' files into the workspace: all of them, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalcore.errors import InputError
from evalcore.exchange.imports import IMPORTS, found_files, likely_format
from evalcore.exchange.records import ImportContext, SourceFile
from evalcore.exchange.sources import source_file
from evalcore.records import Example, utc_now
from evalcore.stages import Begin
from evalcore.stats.vote_source import unique_names
from evalcore.store import Store

__all__ = ["Imported", "check_format", "import_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What files became."""

    format: str
    files: tuple[SourceFile, ...]
    n_new: Mapping[str, int]
    """Records that were not there before, by table."""
    n_read: Mapping[str, int]
    """Records that the files hold, by table; what comes twice counts twice."""
    n_skipped: int
    """Lines that are no records, such as a log's lines that are not votes."""
    warnings: tuple[str, ...]


def import_files(
    form: str,
    paths: Sequence[Path],
    store: Store,
    *,
    prompts: Sequence[Example] = (),
    begin: Begin | None = None,
) -> Imported:
    """Take files of another tool over, in one transaction.

    Parameters
    ----------
    form
        A name of :data:`~evalcore.exchange.imports.IMPORTS`.
    paths
        Files, and folders, of which all files are taken that the format knows.
    store
        The workspace. What is there already stays as it is.
    prompts
        Prompts for files that name them by id only.
    begin
        Begins a progress bar.

    Raises
    ------
    InputError
        For a format or file that can't be used, naming file, line and what is permitted; then
        nothing is kept.
    """
    check_format(form)
    files = [source_file(path, form) for path in found_files(form, paths)]
    advance = begin(f"import {form}", sum(file.n_lines for file in files)) if begin else None
    own = {name: fingerprint for fingerprint, name in unique_names(store).items()}
    context = ImportContext(now=utc_now(), prompts=prompts, own_models=own)
    counts = dict.fromkeys(("example", "generation", "comparison", "score", "eval_run"), 0)
    n_skipped = 0
    warnings: list[str] = []
    with store.intake(files) as intake:
        try:
            for parcel in IMPORTS[form].read([file.path for file in files], context):
                intake.add(parcel)
                n_skipped += parcel.n_skipped
                warnings += parcel.warnings
                if advance is not None:
                    advance(parcel.n_read, 0.0)
        except InputError as error:
            raise InputError(f"{error}{_hint(form, files)}") from error
        counts |= intake.n_read
        if not any(counts.values()):
            raise InputError(
                f"{paths[0]}: holds nothing that {form} has{_hint(form, files)}; nothing was kept"
            )
        n_new = dict(intake.n_new)
    return Imported(
        format=form,
        files=tuple(files),
        n_new={name: n_new.get(name, 0) for name in counts},
        n_read=counts,
        n_skipped=n_skipped,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def check_format(form: str) -> None:
    """Raise :class:`~evalcore.errors.InputError` for a format that there is not."""
    if form not in IMPORTS:
        raise InputError(f"FORMAT must be one of {', '.join(IMPORTS)}; got {form!r}")


def _hint(form: str, files: Sequence[SourceFile]) -> str:
    """Say which format a file looks like, where it is another one."""
    for file in files:
        likely = likely_format(file.path)
        if likely not in (None, form):
            return f"; {file.path.name} looks like {likely}"
    return ""
