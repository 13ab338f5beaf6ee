"""A static site: a page for each model, task, study and judge, and all examples."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from evalcore.store import Store
from evalcore.visible import one_line
from leaderboards.records import Column
from leaderboards.variants import public_string
from reports.data import DataFile
from reports.evidence import Evidence
from reports.examples import by_example, prompt_cards, task_cards
from reports.figures.all import figures
from reports.figures.drawing import Figure
from reports.judges import judge_section
from reports.page import board_context
from reports.site.addresses import (
    PER_PAGE,
    judge_page,
    model_page,
    prompts_page,
    study_page,
    task_page,
)
from reports.site.facets import ModelFacts, TaskFacts, model_facts, task_facts
from reports.site.folder import Written, write_folder
from reports.site.studies import StudyResult, study_results
from reports.templating import environment

__all__ = ["write_site"]

_LONGEST_ANSWER = 20_000

_Files = Iterator[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """What every page is made of."""

    evidence: Evidence
    store: Store
    command: str
    templates: jinja2.Environment
    context: dict[str, Any]
    figures: tuple[Figure, ...]
    studies: tuple[StudyResult, ...]
    prompt_ids: tuple[str, ...]
    """Judged prompts that belong to no task."""

    def page(self, template: str, address: str, **values: object) -> tuple[str, bytes]:
        """Fill in a page's template."""
        text = self.templates.get_template(f"site/{template}.html").render(
            **self.context, **values, root="../" * address.count("/"), address=address
        )
        return address, text.encode("utf-8", errors="replace")


def write_site(
    evidence: Evidence, store: Store, folder: Path, *, command: str = "parity report"
) -> Written:
    """Write a leaderboard as pages that open from disk and from any server of files.

    The same workspace gives the same bytes. Files of an earlier time that are not needed any more
    are removed; whatever else the folder holds is left alone.

    Parameters
    ----------
    evidence
        The leaderboard and what goes with it.
    store
        The workspace it comes from.
    folder
        Where to; made if it isn't there.
    command
        What makes the site, without the option that says where to; shown beside every number.

    Raises
    ------
    InputError
        If a file can't be written, or one that is not the site's is in the way.
    """
    site = _open(evidence, store, command=command)
    return write_folder(folder, _files(site))


def _open(evidence: Evidence, store: Store, *, command: str) -> _Site:
    made = tuple(figures(evidence))
    board = evidence.board
    in_tasks = {
        example for values in evidence.values.values() for example in values.table.example_ids
    }
    judged = [key for key in by_example(evidence.comparisons) if key not in in_tasks]
    context: dict[str, Any] = {
        **board_context(evidence, made, command=command),
        "pages": {
            standing.model.fingerprint: model_page(standing.model) for standing in board.standings
        },
        "task_pages": {column.task: task_page(column) for column in board.columns},
        "judge_pages": {report.judge: judge_page(report.judge) for report in evidence.judges},
        "has_prompts": bool(judged),
        "command": command,
        "newest_utc": _newest(evidence),
    }
    studies = tuple(study_results(store, evidence.comparisons))
    context["study_pages"] = {item.study.name: study_page(item.study.name) for item in studies}
    return _Site(
        evidence=evidence,
        store=store,
        command=command,
        templates=environment(),
        context=context,
        figures=made,
        studies=studies,
        prompt_ids=tuple(judged),
    )


def _newest(evidence: Evidence) -> str:
    """Time of the newest result: the site depends on the workspace, not on when it was written."""
    runs = [run.created_utc for column in evidence.board.columns for run in column.runs.values()]
    return max([*runs, *(item.created_utc for item in evidence.comparisons)], default="")


def _files(site: _Site) -> _Files:
    yield ".nojekyll", b""
    yield "assets/site.css", _asset("report.css") + _asset("site/site.css")
    yield "assets/site.js", _asset("sort.js") + _asset("site/site.js")
    yield "assets/pages.js", _index(site)
    yield site.page("index", "index.html")
    for figure in site.figures:
        yield f"data/{figure.name}.csv", figure.csv.encode()
    yield "data/leaderboard.csv", site.context["board_data"].csv.encode()
    pairs = {frozenset((pair.model_a, pair.model_b)): pair for pair in site.evidence.board.pairs}
    for standing in site.evidence.board.standings:
        facts = model_facts(site.evidence, standing, pairs)
        yield _model(site, facts)
    for column in site.evidence.board.columns:
        yield from _task(site, column)
    yield from _prompts(site)
    for shown, report in zip(
        judge_section(site.evidence.judges), site.evidence.judges, strict=True
    ):
        yield site.page("judge", judge_page(report.judge), shown=shown)
    for result in site.studies:
        yield site.page("study", study_page(result.study.name), result=result)


def _model(site: _Site, facts: ModelFacts) -> tuple[str, bytes]:
    spec = facts.standing.model
    tasks = [part for column, _estimate in facts.results for part in ("-t", column.task)]
    again = shlex.join(["parity", "eval", "-m", f"{spec.name}={public_string(spec)}", *tasks])
    data = DataFile(
        name=f"{Path(model_page(spec)).stem}.csv",
        csv=facts.csv,
        command=f"{site.command} --site DIR",
    )
    return site.page(
        "model",
        model_page(spec),
        facts=facts,
        place=site.evidence.board.standings.index(facts.standing),
        said=public_string(spec),
        again=again if tasks else "",
        facts_data=data,
    )


def _task(site: _Site, column: Column) -> _Files:
    facts: TaskFacts = task_facts(site.evidence, column)
    examples = site.store.examples(column.task_hash)
    data = DataFile(
        name=f"{Path(task_page(column)).stem}.csv",
        csv=facts.csv,
        command=f"{site.command} --site DIR",
    )
    scored = set(site.evidence.values[column.task].table.example_ids)
    shown = [example for example in examples if example.id in scored]
    starts = range(0, len(shown), PER_PAGE)
    addresses = [task_page(column, examples=start) for start in starts]
    yield site.page(
        "task", task_page(column), facts=facts, facts_data=data, example_pages=addresses
    )
    for start, address in zip(starts, addresses, strict=True):
        cards, note = task_cards(
            site.evidence.board,
            column,
            site.store,
            shown[start : start + PER_PAGE],
            values=site.evidence.values[column.task],
            judged=by_example(site.evidence.comparisons),
            longest=_LONGEST_ANSWER,
        )
        yield site.page(
            "examples",
            address,
            heading=f"{column.task}: examples",
            back=task_page(column),
            cards=cards,
            note=note,
            first=start + 1,
            n_all=len(shown),
            example_pages=addresses,
        )


def _prompts(site: _Site) -> _Files:
    starts = range(0, len(site.prompt_ids), PER_PAGE)
    addresses = [prompts_page(start) for start in starts]
    judged = by_example(site.evidence.comparisons)
    for start, address in zip(starts, addresses, strict=True):
        cards = prompt_cards(
            site.evidence,
            site.store,
            site.prompt_ids[start : start + PER_PAGE],
            judged=judged,
            longest=_LONGEST_ANSWER,
        )
        yield site.page(
            "examples",
            address,
            heading="Judged prompts",
            back="index.html",
            cards=cards,
            note="Prompts that visitors of the arena wrote themselves are not shown",
            first=start + 1,
            n_all=len(site.prompt_ids),
            example_pages=addresses,
        )


def _index(site: _Site) -> bytes:
    """Return a script that holds what the search looks through: a page from disk can't fetch."""
    board = site.evidence.board
    entries = [
        *(
            [
                "model",
                s.model.name,
                model_page(s.model),
                f"{public_string(s.model)} {s.model.fingerprint}",
            ]
            for s in board.standings
        ),
        *(["task", c.task, task_page(c), f"{c.metric} {c.task_hash}"] for c in board.columns),
        *(["judge", r.judge, judge_page(r.judge), ""] for r in site.evidence.judges),
        *(["study", r.study.name, study_page(r.study.name), ""] for r in site.studies),
        *([["prompts", "Judged prompts", prompts_page(0), ""]] if site.prompt_ids else []),
    ]
    shown = [[one_line(text) for text in entry] for entry in entries]
    # Not part of a page, so that </script> ends nothing; U+2028 would end a line of old engines.
    return f"window.PARITY_PAGES = {json.dumps(shown, ensure_ascii=True)};\n".encode()


def _asset(name: str) -> bytes:
    return resources.files("reports").joinpath("templates", name).read_bytes()
