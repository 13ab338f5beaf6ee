"""Inspect's logs: one ``.json`` object, or an ``.eval`` archive of them."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalcore.errors import VotesError
from evalcore.exchange.archives import zip_member
from evalcore.exchange.conversations import prompt_example
from evalcore.exchange.identity import imported_answers
from evalcore.exchange.json_files import as_object, parse_json, read_json
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.task_results import (
    TaskResults,
    published_estimate,
    results_parcel,
    utc_text,
)
from evalcore.records import Example

__all__ = ["read_inspect"]

_FIELDS = ("version", "status", "eval")
_LETTERS: Mapping[str, float] = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partially correct, incorrect, no answer, as Inspect's own reducers count them."""
_ERRORS = ("stderr", "std", "var", "bootstrap_std", "bootstrap_stderr")
_STANDARD_ERRORS = ("stderr", "bootstrap_stderr", "bootstrap_std")
_MOST_MEMBERS = 1_000_000


def read_inspect(paths: Sequence[Path], context: ImportContext) -> Iterator[Parcel]:
    """Read logs; each becomes a run of its model on its task.

    A scorer is a metric, and each part of a scorer whose values are objects is one. A sample's
    value is the mean over its epochs. Tool calls and what happened in between are left out.

    Raises
    ------
    VotesError
        Naming the file, the sample and what is permitted.
    """
    samples: Iterable[Any]
    for path in paths:
        if path.suffix.lower() == ".eval":
            header, samples = _archive(path)
        else:
            header = read_json(path)
            samples = _listed(header, "samples", str(path)) if isinstance(header, Mapping) else ()
        results = _header(path, header, context)
        _add_samples(results, samples, path)
        if not results.higher_is_better:
            raise VotesError(f"{path}: has no scores; its status is {header.get('status')!r}")
        yield results_parcel(results, source=path, n_read=len(results.examples))


def _archive(path: Path) -> tuple[Any, Iterator[Any]]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise VotesError(f"{path}: not an archive that can be read: {error}") from error
    members = {info.filename: info for info in archive.infolist()}
    if len(members) > _MOST_MEMBERS:
        raise VotesError(f"{path}: at most {_MOST_MEMBERS} samples are read; has {len(members)}")
    if "header.json" not in members:
        with archive:
            raise VotesError(f"{path}: has no header.json; the evaluation has not ended")
    header = parse_json(
        zip_member(archive, members["header.json"], str(path)), f"{path}, header.json"
    )

    def samples() -> Iterator[Any]:
        with archive:
            for name in sorted(members):
                if name.startswith("samples/") and name.endswith(".json"):
                    raw = zip_member(archive, members[name], str(path))
                    yield parse_json(raw, f"{path}, {name}")

    return header, samples()


def _header(path: Path, header: Any, context: ImportContext) -> TaskResults:
    if not isinstance(header, Mapping) or not header.keys() >= set(_FIELDS):
        has = ", ".join(header) if isinstance(header, Mapping) else type(header).__name__
        raise VotesError(f"{path}: needs the fields {', '.join(_FIELDS)}; has {has:.300}")
    said = as_object(header["eval"], f"{path}: eval")
    for name in ("task", "model"):
        if not isinstance(said.get(name), str) or not said[name]:
            raise VotesError(f"{path}: eval.{name} must be a text; got {said.get(name)!r:.80}")
    packages = as_object(said.get("packages") or {}, f"{path}: eval.packages")
    dataset = as_object(said.get("dataset") or {}, f"{path}: eval.dataset")
    published = as_object(header.get("results") or {}, f"{path}: results")
    results = TaskResults(
        tool=f"inspect_ai {packages.get('inspect_ai') or 'unknown'}",
        task=said["task"],
        model=said["model"],
        created_utc=utc_text(said.get("created"), otherwise=context.now),
        settings={
            "task_version": said.get("task_version"),
            "task_args": json.dumps(said.get("task_args") or {}, sort_keys=True),
            "dataset": dataset.get("name"),
        },
        params={"status": header["status"], "run_id": said.get("run_id")},
    )
    if header["status"] != "success":
        results.warnings.append(f"{path.name}: the evaluation ended with {header['status']!r}")
    for score in _published(published, f"{path}: results"):
        _add_published(results, as_object(score, f"{path}: results.scores"), str(path))
    return results


def _published(published: Mapping[str, Any], where: str) -> list[Any]:
    """Return the scores of the whole; version 1 of the format has one, in two parts."""
    if "scorer" in published:
        scorer = as_object(published["scorer"] or {}, f"{where}.scorer")
        return [{"name": scorer.get("name"), "metrics": published.get("metrics")}]
    return _listed(published, "scores", where)


def _listed(holder: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = holder.get(name) or []
    if not isinstance(value, list):
        raise VotesError(f"{where}: {name} must be a list; got {value!r:.80}")
    return value


def _add_published(results: TaskResults, score: Mapping[str, Any], where: str) -> None:
    given = as_object(score.get("metrics") or {}, f"{where}: results.scores.metrics")
    metrics = {
        name: metric.get("value") if isinstance(metric, Mapping) else metric
        for name, metric in given.items()
    }
    scorer = score.get("name")
    if not isinstance(scorer, str):
        raise VotesError(f"{where}: results.scores.name must be a text; got {scorer!r:.80}")
    values = {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    scored = score.get("scored_samples")
    n = scored if isinstance(scored, int) else len(results.examples)
    named = [name for name in values if name not in _ERRORS]
    error = next((values[name] for name in _STANDARD_ERRORS if name in values), None)
    for place, name in enumerate(named):
        metric = scorer if place == 0 else f"{scorer}.{name}"
        if metric in results.published:  # several ways to reduce epochs: the first is the scorer's
            metric = f"{metric}.{score.get('reducer')}"
        results.higher_is_better.setdefault(metric, True)
        results.published[metric] = published_estimate(
            values[name], error, n=n, method=f"inspect_ai {name}"
        )


def _add_samples(results: TaskResults, samples: Iterable[Any], path: Path) -> None:
    seen: set[tuple[str, str]] = set()
    for number, sample in enumerate(samples, 1):
        where = f"{path}, sample {number}"
        if not isinstance(sample, Mapping) or not {"id", "input"} <= sample.keys():
            raise VotesError(f"{where}: needs the fields id, input, scores; got {sample!r:.80}")
        place = str(sample["id"]), str(sample.get("epoch", 1))
        if place in seen:
            raise VotesError(f"{where}: id {place[0]!r}, epoch {place[1]} is there twice")
        seen.add(place)
        example = _example(sample, where)
        results.examples[example.id] = example
        said = _completion(sample.get("output"))
        if said is not None:
            results.answers += imported_answers(
                example, results.model, [said], created_utc=results.created_utc
            )
        for scorer, score in _scores(sample, results, where).items():
            value = score.get("value") if isinstance(score, Mapping) else score
            for metric, number_ in _values(str(scorer), value):
                results.add_score(metric, example.id, number_)


def _scores(sample: Mapping[str, Any], results: TaskResults, where: str) -> Mapping[str, Any]:
    """Return a sample's scores by scorer; version 1 of the format has one, without its name."""
    if "score" in sample and "scores" not in sample:
        scorer = next(iter(results.higher_is_better), "score")
        return {scorer: sample["score"]} if sample["score"] is not None else {}
    return as_object(sample.get("scores") or {}, f"{where}: scores")


def _example(sample: Mapping[str, Any], where: str) -> Example:
    given = sample["input"]
    if isinstance(given, str):
        asked, system = [given], ""
    else:
        turns = [as_object(turn, f"{where}: input") for turn in _listed(sample, "input", where)]
        said = {
            role: [_text(turn.get("content")) for turn in turns if turn.get("role") == role]
            for role in ("system", "user")
        }
        asked, system = ["\n\n".join(said["user"])], "\n".join(said["system"])
    plain = prompt_example(asked, system=system, metadata={"id": str(sample["id"])}, where=where)
    target = sample.get("target")
    references = target if isinstance(target, list) else [target]
    choices = _listed(sample, "choices", where)
    return Example(
        id=plain.id,
        messages=plain.messages,
        references=tuple(str(text) for text in references if text not in (None, "")),
        choices=tuple(map(str, choices)),
        metadata=plain.metadata,
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))


def _completion(output: Any) -> str | None:
    if not isinstance(output, Mapping):
        return None
    if isinstance(output.get("completion"), str) and output["completion"]:
        return str(output["completion"])
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, Mapping) else None
    return _text(message.get("content")) if isinstance(message, Mapping) else None


def _values(metric: str, value: Any) -> Iterator[tuple[str, float]]:
    """Yield a score's numbers; what is none is unscored."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _values(f"{metric}.{name}", part)
    elif isinstance(value, bool | int | float):
        yield metric, float(value)
    elif isinstance(value, str):
        try:
            yield metric, _LETTERS[value] if value in _LETTERS else float(value)
        except ValueError:
            yield metric, math.nan
    else:
        yield metric, math.nan
