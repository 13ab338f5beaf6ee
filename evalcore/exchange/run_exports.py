"""Folders of results: what each format writes of a workspace's runs."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from evalcore.errors import InputError
from evalcore.exchange.answer_exports import chosen_models
from evalcore.exchange.exporting import Exported
from evalcore.exchange.formats.every_eval_ever import every_eval_ever_files
from evalcore.exchange.formats.lm_eval_layout import lm_eval_files
from evalcore.exchange.formats.model_cards import model_card_files
from evalcore.records import EvalRun
from evalcore.store import Store

__all__ = ["RUN_FORMATS", "File", "export_runs"]

File = tuple[str, str]
"""Path within the folder, and text."""

RUN_FORMATS: Mapping[str, Callable[[Store, Sequence[EvalRun]], Iterator[File]]] = {
    "every_eval_ever": every_eval_ever_files,
    "lm_eval": lm_eval_files,
    "model_card": model_card_files,
}
"""By name, as the command line has them."""
_SAFE = re.compile(r"[\w.+=-][\w.+= -]*")


def export_runs(form: str, path: Path, store: Store, *, models: Sequence[str] | None) -> Exported:
    """Write runs into a folder, of all models unless some are named.

    Raises
    ------
    InputError
        If there are no runs, for a model that isn't there, and for a folder that can't be written.
    """
    chosen = chosen_models(store, models)
    runs = [run for run in store.runs() if run.spec.fingerprint in chosen]
    if not runs:
        raise InputError(f"workspace {store.where} has no runs to export; parity eval makes some")
    done = Exported(path=path, format=form, n_facts=len(runs))
    try:
        for name, text in RUN_FORMATS[form](store, runs):
            _write(path, name, text)
            done.n_rows += 1
    except OSError as error:
        raise InputError(f"export {path} can't be written: {error.strerror}") from error
    return done


def _write(folder: Path, name: str, text: str) -> None:
    """Write a file below a folder at once; a name can't lead out of it."""
    parts = name.split("/")
    if any(part in (".", "..") or not _SAFE.fullmatch(part) for part in parts):
        raise InputError(f"{name!r} is no name of a file below {folder}")
    place = folder.joinpath(*parts)
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".export.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(place)
    finally:
        Path(temporary).unlink(missing_ok=True)
