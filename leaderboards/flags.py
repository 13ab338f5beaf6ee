"""Models whose answers work on the judge: shown on the board, and not ranked by that judge."""

from __future__ import annotations

from dataclasses import replace

from evalcore.judges.flagged import check_model
from evalcore.records import EvalRun
from evalcore.store import Store
from leaderboards.selection import Selection
from leaderboards.task_runs import TaskRuns

__all__ = ["without_flagged"]


def without_flagged(selection: Selection, store: Store) -> Selection:
    """Leave out what judges rated of models that speak to judges or answer everything alike.

    The models stay on the board, without a rank, and a warning says why. Tasks that no judge rates
    are left as they are; so is a task on which nobody would remain.
    """
    runs, warnings = dict(selection.runs), list(selection.warnings)
    for task, by_model in selection.runs.items():
        if "judge_fingerprint" not in by_model.first.run.params:
            continue
        flagged = {
            fingerprint: words
            for fingerprint, run in by_model.items()
            if (words := _words(run, store))
        }
        for fingerprint, words in flagged.items():
            name = selection.models[fingerprint].name
            warnings.append(
                f"{name} is flagged, as its answers work on the judge, and its ratings on {task} "
                f"do not count: {words}"
            )
        if flagged and len(flagged) < len(by_model):
            heads = by_model.heads.items()
            runs[task] = TaskRuns({key: head for key, head in heads if key not in flagged})
    return replace(selection, runs=runs, warnings=tuple(warnings))


def _words(run: EvalRun, store: Store) -> str:
    """Say what is wrong with the answers; empty for honest ones."""
    example_ids = [example.id for example in store.examples(run.task_hash)]
    check = check_model(store, run.spec.fingerprint, example_ids)
    return check.words if check.is_flagged else ""
