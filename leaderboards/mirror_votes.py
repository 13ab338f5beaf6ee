"""What MLflow is told of ratings by votes and of studies; nothing here needs MLflow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from evalcore.codec import to_json
from evalcore.hashing import content_hash
from evalcore.spreadsheet import Cell, csv_text
from leaderboards.curves import rating_curves
from leaderboards.flat import flat_rows
from leaderboards.markdown import leaderboard_markdown
from leaderboards.mirror import MIRROR_VERSION, Point, Unit, finite, metric_keys
from leaderboards.records import Leaderboard, Source
from leaderboards.studied import StudyOutcome

__all__ = ["rating_units", "study_units"]

_LONGEST_PARAM = 6_000


def rating_units(leaderboard: Leaderboard, *, board: str, now_ms: int) -> list[Unit]:
    """Describe each kind of rater's ratings: curves over votes, and the whole table as files.

    A metric's step is the number of votes so far, so that MLflow draws how ratings settled.
    """
    return [_rating_unit(leaderboard, source, board, now_ms) for source in leaderboard.sources]


def study_units(studies: list[StudyOutcome], *, board: str, now_ms: int) -> list[Unit]:
    """Describe studies; of those under way only what they asked, and how far they are."""
    return [_study_unit(study, board, now_ms) for study in studies]


def _rating_unit(leaderboard: Leaderboard, source: Source, board: str, now_ms: int) -> Unit:
    points = tuple(_points(leaderboard, source))
    metrics = finite(_rating_numbers(leaderboard, source))
    params = {
        "source": source.title,
        "method": source.method,
        "scale": source.scale,
        "raters": ", ".join(source.raters)[:_LONGEST_PARAM] or str(source.n_raters),
    }
    told = [[point.key, point.value, point.step] for point in points]
    rows = flat_rows(leaderboard)
    files = {
        "leaderboard.json": _log_table_json(rows),
        "leaderboard.csv": csv_text(rows),
        "leaderboard.md": leaderboard_markdown(leaderboard),
    }
    return Unit(
        kind="rating",
        name=f"ratings by {source.title}",
        unit_hash=content_hash([MIRROR_VERSION, board, source.kind, told, metrics, params, files]),
        tags={"parity.source": source.kind},
        params={key: value for key, value in params.items() if value},
        metrics=metrics,
        points=points,
        files=files,
        start_ms=now_ms,
        end_ms=now_ms,
    )


def _log_table_json(rows: list[dict[str, Cell]]) -> str:
    """Write a table as MLflow's ``log_table`` does, so that its page shows it as one."""
    names = list(rows[0]) if rows else []
    return to_json({"columns": names, "data": [[row[name] for name in names] for row in rows]})


def _points(leaderboard: Leaderboard, source: Source) -> Iterator[Point]:
    curves = rating_curves(source.votes)
    keys = _rating_keys(leaderboard, curves.models)
    for step, ratings in zip(curves.n_votes, curves.ratings.tolist(), strict=True):
        for fingerprint, rating in zip(curves.models, ratings, strict=True):
            if math.isfinite(rating):
                yield Point(key=keys[fingerprint], value=rating, step=step)


def _rating_keys(leaderboard: Leaderboard, fingerprints: tuple[str, ...]) -> dict[str, str]:
    names = {item.model.fingerprint: item.model.name for item in leaderboard.standings}
    keys = metric_keys([f"rating/{names[fingerprint]}" for fingerprint in fingerprints])
    return {key: keys[f"rating/{names[key]}"] for key in fingerprints}


def _rating_numbers(leaderboard: Leaderboard, source: Source) -> Iterator[tuple[str, float]]:
    yield "n_votes", float(source.n_comparisons)
    yield "n_raters", float(source.n_raters)
    yield "n_examples", float(source.n_examples)
    names = {item.model.fingerprint: item.model.name for item in leaderboard.standings}
    for fingerprint, row in source.rows.items():
        yield f"rating_lo/{names[fingerprint]}", row.rating.low
        yield f"rating_hi/{names[fingerprint]}", row.rating.high
        if row.rank is not None:
            yield f"rank/{names[fingerprint]}", float(row.rank)
    agreement = leaderboard.agreement
    if source.kind == "judge" and agreement is not None:
        yield "agreement", agreement.share.value
        yield "agreement_kappa", agreement.kappa.value
        yield "agreement_ac1", agreement.ac1.value
        yield "agreement_n", float(agreement.n_pairs)


def _study_unit(study: StudyOutcome, board: str, now_ms: int) -> Unit:
    metrics = finite(_study_numbers(study))
    params = dict(_study_params(study.settings)) | {"n_items": str(study.n_items)}
    tags = {
        "parity.study": study.name,
        "parity.study_hash": study.study_hash,
        "parity.study_status": study.status,
        **{
            f"parity.verdict.{pair.model_a} against {pair.model_b}": pair.verdict
            for pair in study.pairs
        },
    }
    votes = [
        {
            "example_id": item.example_id,
            "model_a": item.model_a,
            "model_b": item.model_b,
            "winner": item.winner,
            "rater": item.rater,
            "swapped": item.swapped,
            "created_utc": item.created_utc,
        }
        for item in study.comparisons
    ]
    return Unit(
        kind="study",
        name=f"study {study.name}",
        unit_hash=content_hash([MIRROR_VERSION, board, metrics, params, tags, votes]),
        tags={_tag_key(key): value for key, value in tags.items()},
        params=params,
        metrics=metrics,
        rows={"votes": votes} if votes else {},
        start_ms=now_ms,
        end_ms=now_ms,
    )


def _tag_key(key: str) -> str:
    return next(iter(metric_keys([key]).values()))


def _study_params(settings: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key in (
        "kind",
        "models",
        "ratings_per_item",
        "items_per_rater",
        "raters",
        "margin",
        "stop",
    ):
        if key in settings:
            yield key, str(settings[key])[:_LONGEST_PARAM]


def _study_numbers(study: StudyOutcome) -> Iterator[tuple[str, float]]:
    yield "n_votes", float(study.n_votes)
    yield "n_raters", float(study.n_raters)
    yield "median_s", study.median_s
    if study.kappa is not None:
        yield "kappa", study.kappa.value
        yield "kappa_lo", study.kappa.low
        yield "kappa_hi", study.kappa.high
    for pair in study.pairs:
        name = f"{pair.model_a} against {pair.model_b}"
        yield f"win_rate/{name}", pair.win_rate.value
        yield f"win_rate_lo/{name}", pair.win_rate.low
        yield f"win_rate_hi/{name}", pair.win_rate.high
        yield f"parity_p/{name}", pair.p_parity
