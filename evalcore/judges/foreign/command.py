"""What ``parity judge --reuse-from FORMAT FILE`` does."""

from __future__ import annotations

import sys
from pathlib import Path

from evalcore.commandline import print_json, print_table
from evalcore.errors import InputError
from evalcore.judges.foreign.importing import import_verdicts
from evalcore.judges.foreign.reading import read_foreign
from evalcore.judges.foreign.totals import MarkTotals, mark_totals
from evalcore.records import Estimate
from evalcore.store import open_store
from evalcore.tasks.prompt_sets import read_prompts

__all__ = ["reuse_verdicts"]


def reuse_verdicts(
    form: str,
    file: Path,
    *,
    prompts: list[Path],
    workspace: Path,
    store_url: str | None,
    as_json: bool,
) -> None:
    """Take another tool's verdicts into the workspace, and say what they became.

    Parameters
    ----------
    form
        ``alpaca_eval``, ``fastchat`` or ``pandalm``.
    file
        The verdicts.
    prompts
        Prompt sets with the texts of questions that the file names by id.
    workspace, store_url
        Where they go.
    as_json
        Print JSON on stdout.

    Raises
    ------
    InputError
        For an unknown format, and for files that can't be used.
    """
    known = [example for path in prompts for example in read_prompts(path)]
    foreign = read_foreign(form, file, prompts=known)
    with open_store(workspace, store_url) as opened:
        imported = import_verdicts(foreign, opened)
    if not imported.n_comparisons:
        raise InputError(f"{file}: none of {len(foreign.verdicts)} verdicts could be read")
    totals = list(mark_totals(foreign.verdicts))
    if as_json:
        print_json({"source": foreign.source, "imported": imported, "totals": totals})
        return
    print(
        f"{foreign.source}: {imported.n_comparisons} comparisons of {len(foreign.verdicts)} "
        f"verdicts, {imported.n_answers} answers"
    )
    print_table([_totals_row(item) for item in totals])
    for warning in imported.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _totals_row(item: MarkTotals) -> dict[str, str]:
    return {
        "model": item.model_a,
        "against": item.model_b,
        "its marks": _interval(item.total_a),
        "the other's": _interval(item.total_b),
        "the other no worse": (
            f"{item.b_no_worse.value * item.b_no_worse.n:.0f} of {item.b_no_worse.n} "
            f"({100 * item.b_no_worse.low:.0f} to {100 * item.b_no_worse.high:.0f} %)"
        ),
    }


def _interval(total: Estimate) -> str:
    return f"{total.value:g} ({total.low:.0f} to {total.high:.0f})"
