"""Models' responses to requests, and what the work took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa

from evalcore.protocols import Completion, Loglikelihood, Response
from evalcore.records import Efficiency, Generation, SamplingParams, utc_now
from evalcore.store import schema
from evalcore.store.database import (
    KEYS_PER_QUERY,
    Database,
    insert_new,
    insert_rows,
    nan_if_null,
    null_if_nan,
    without_source,
)

__all__ = ["AnswerChain", "Answered", "Responses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A response to store: which example and request it belongs to."""

    example_id: str
    request_key: str
    response: Response
    params: SamplingParams | None = None
    """Of a generation."""
    previous_key: str | None = None
    """Request of the turn before, where a generation goes on with a conversation."""


class AnswerChain(NamedTuple):
    """A model's answers to the turns of an example."""

    texts: tuple[str, ...]
    """Turn by turn."""
    created_utc: str
    """Of the last one."""


class _Turn(NamedTuple):
    """As much of a generation as its place in a conversation takes."""

    example_id: str
    fingerprint: str
    request_key: str
    previous_key: str | None
    text: str
    created_utc: str


_TURNS = (
    "SELECT example_id, fingerprint, request_key, previous_key, text, created_utc "
    "FROM wanted JOIN generation ON example_id = wanted.example AND fingerprint = wanted.model "
    "ORDER BY created_utc, request_key"
)
"""Of the pairs wanted; columns in the order of :class:`_Turn`."""
_MARKS = {"sqlite": "?", "postgresql": "%s"}
"""How a driver wants the place of a value written."""


class Responses(Database):
    """What models have answered already, so that nothing is asked twice."""

    def responses(self, fingerprint: str, keys: Sequence[str]) -> dict[str, Response]:
        """Return what a model has answered already, by request key."""
        found: dict[str, Response] = {}
        with self._reading() as connection:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                some = keys[start : start + KEYS_PER_QUERY]
                for table, build in _RESPONSES:
                    query = table.select().where(
                        table.c.fingerprint == fingerprint, table.c.request_key.in_(some)
                    )
                    found |= {row.request_key: build(row) for row in connection.execute(query)}
        return found

    def answered(self, fingerprint: str, keys: Sequence[str]) -> set[str]:
        """Return which of some requests a model has answered already."""
        found: set[str] = set()
        with self._reading() as connection:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                some = keys[start : start + KEYS_PER_QUERY]
                queries = [
                    sa.select(table.c.request_key).where(
                        table.c.fingerprint == fingerprint, table.c.request_key.in_(some)
                    )
                    for table, _build in _RESPONSES
                ]
                found |= set(connection.scalars(sa.union_all(*queries)))
        return found

    def add_responses(
        self, fingerprint: str, answered: Sequence[Answered], *, task_hash: str, took: Efficiency
    ) -> None:
        """Store responses that became ready together, and what they took."""
        self.add_batches(fingerprint, [(answered, took)], task_hash=task_hash)

    def add_batches(
        self,
        fingerprint: str,
        batches: Sequence[tuple[Sequence[Answered], Efficiency]],
        *,
        task_hash: str,
    ) -> None:
        """Store several batches of responses, and what each took.

        A batch that another process has stored meanwhile, all of it, is thrown away with what it
        took: two processes that were given the same work count it once.
        """
        shared = {"fingerprint": fingerprint, "created_utc": utc_now()}
        everything = [item for answered, _took in batches for item in answered]
        with self._writing() as connection:
            new: set[str] = set()
            for table, rows in _response_rows(everything).items():
                full = [row | shared for row in rows]
                new |= insert_new(connection, table, full, told="request_key")
            work = [
                {**asdict(took), **shared, "task_hash": task_hash}
                for answered, took in batches
                if not answered or any(item.request_key in new for item in answered)
            ]
            insert_rows(connection, schema.work, work)

    def generations(
        self, *, example_ids: Sequence[str] | None = None, fingerprint: str | None = None
    ) -> Iterator[Generation]:
        """Yield stored answers by model and request; of all models unless one is named."""
        columns = schema.generation.c
        query = schema.generation.select().order_by(columns.fingerprint, columns.request_key)
        if fingerprint is not None:
            query = query.where(columns.fingerprint == fingerprint)
        with self._reading() as connection:
            wanted = None if example_ids is None else frozenset(example_ids)
            for row in connection.execution_options(yield_per=1000).execute(query):
                if wanted is None or row.example_id in wanted:
                    yield _generation(row)

    def answering(self, fingerprints: Sequence[str]) -> list[str]:
        """Return those of some models that have an answer in the workspace, in their order."""
        answered = sa.exists().where(schema.generation.c.fingerprint == schema.model.c.fingerprint)
        query = sa.select(schema.model.c.fingerprint).where(answered)
        with self._reading() as connection:
            found = set(connection.scalars(query))
        return [fingerprint for fingerprint in fingerprints if fingerprint in found]

    def api_costs(self) -> dict[str, float]:
        """Sum up what models' paid answers cost, in US dollars, by fingerprint."""
        columns = schema.generation.c
        query = (
            sa.select(columns.fingerprint, sa.func.sum(columns.cost_usd))
            .where(columns.cost_usd.is_not(None))
            .group_by(columns.fingerprint)
        )
        with self._reading() as connection:
            return {fingerprint: float(cost) for fingerprint, cost in connection.execute(query)}

    def answers(
        self, example_ids: Sequence[str], *, fingerprint: str | None = None
    ) -> Iterator[Generation]:
        """Yield answers to some examples, those to each oldest first; of all models or of one.

        An example that tasks or prompt sets share may have several answers of a model.
        """
        columns = schema.generation.c
        own = sa.true() if fingerprint is None else columns.fingerprint == fingerprint
        with self._reading() as connection:
            for start in range(0, len(example_ids), KEYS_PER_QUERY):
                some = example_ids[start : start + KEYS_PER_QUERY]
                query = (
                    schema.generation.select()
                    .where(columns.example_id.in_(some), own)
                    .order_by(columns.created_utc, columns.request_key)
                )
                for row in connection.execute(query):
                    yield _generation(row)

    def conversations(
        self, fingerprint: str, example_ids: Sequence[str]
    ) -> dict[str, tuple[Generation, ...]]:
        """Return a model's answers by example, turn by turn.

        Where an example was answered in several ways, such as with other sampling parameters, the
        way begun last counts. Examples without an answer are left out.
        """
        columns = schema.generation.c
        found: dict[str, list[Generation]] = {}
        with self._reading() as connection:
            for start in range(0, len(example_ids), KEYS_PER_QUERY):
                some = example_ids[start : start + KEYS_PER_QUERY]
                query = (
                    schema.generation.select()
                    .where(columns.fingerprint == fingerprint, columns.example_id.in_(some))
                    .order_by(columns.created_utc, columns.request_key)
                )
                for row in connection.execute(query):
                    found.setdefault(row.example_id, []).append(_generation(row))
        return {example_id: _newest_chain(answers) for example_id, answers in found.items()}

    def answer_chains(
        self, wanted: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], list[AnswerChain]]:
        """Return all ways in which examples were answered, oldest first, by example and model.

        Parameters
        ----------
        wanted
            Pairs of an example and a model's fingerprint, in any number of models: one query finds
            hundreds of them. Pairs without an answer are left out.
        """
        found: dict[tuple[str, str], list[_Turn]] = {}
        with self._reading() as connection:
            for start in range(0, len(wanted), KEYS_PER_QUERY):
                some = wanted[start : start + KEYS_PER_QUERY]
                query = _turns_query(len(some), mark=_MARKS[connection.dialect.name])
                rows = connection.exec_driver_sql(query, tuple(chain.from_iterable(some)))
                for turn in map(_Turn._make, rows):
                    found.setdefault((turn.example_id, turn.fingerprint), []).append(turn)
        return {key: _chains(turns) for key, turns in found.items()}

    def efficiency(self, fingerprint: str, task_hash: str) -> Efficiency:
        """Sum up the work that a model did on a task, over all sessions."""
        columns = schema.work.c
        sums = [columns.prefill_tokens, columns.prefill_s, columns.decode_tokens, columns.decode_s]
        peaks = [columns.peak_memory_bytes, columns.size_on_disk_bytes]
        is_known = sa.func.count(columns.joules) == sa.func.count()
        query = sa.select(
            sa.case((is_known, sa.func.sum(columns.joules))).label("joules"),
            *[sa.func.coalesce(sa.func.sum(column), 0).label(column.name) for column in sums],
            *[sa.func.coalesce(sa.func.max(column), 0).label(column.name) for column in peaks],
        ).where(columns.fingerprint == fingerprint, columns.task_hash == task_hash)
        with self._reading() as connection:
            return Efficiency(**connection.execute(query).one()._asdict())


@lru_cache(maxsize=16)
def _turns_query(n: int, *, mark: str) -> str:
    """Write the query for n pairs: of ``(a, b) IN (...)`` SQLite would make a scan of the table."""
    pairs = ", ".join([f"({mark}, {mark})"] * n)
    return f"WITH wanted (example, model) AS (VALUES {pairs}) {_TURNS}"


def _response_rows(answered: Sequence[Answered]) -> dict[sa.Table, list[dict[str, Any]]]:
    rows: dict[sa.Table, list[dict[str, Any]]] = {}
    for item in answered:
        keys = {"example_id": item.example_id, "request_key": item.request_key}
        row = asdict(item.response) | keys
        if isinstance(item.response, Completion):
            row |= {
                "params": asdict(item.params or SamplingParams()),
                "previous_key": item.previous_key,
            }
            rows.setdefault(schema.generation, []).append(row)
        else:
            row["logprob"] = null_if_nan(item.response.logprob)
            rows.setdefault(schema.loglikelihood, []).append(row)
    return rows


def _newest_chain(answers: Sequence[Generation]) -> tuple[Generation, ...]:
    """Return the newest first turn and what follows it; answers come oldest first."""
    following = {answer.previous_key: answer for answer in answers}
    turns = []
    turn = following.get(None)
    while turn is not None:
        turns.append(turn)
        turn = following.get(turn.request_key)
    return tuple(turns)


def _chains(turns: Sequence[_Turn]) -> list[AnswerChain]:
    """Follow each last turn back to the first one; turns come oldest first."""
    by_key = {turn.request_key: turn for turn in turns}
    continued = {turn.previous_key for turn in turns}
    return [
        AnswerChain(_texts_until(last, by_key), last.created_utc)
        for last in turns
        if last.request_key not in continued
    ]


def _texts_until(last: _Turn, by_key: Mapping[str, _Turn]) -> tuple[str, ...]:
    texts = [last.text]
    turn = by_key.get(last.previous_key or "")
    while turn is not None:
        texts.insert(0, turn.text)
        turn = by_key.get(turn.previous_key or "")
    return tuple(texts)


def _params_from(fields: dict[str, Any]) -> SamplingParams:
    return SamplingParams(**{**fields, "stop": tuple(fields["stop"])})


def _generation(row: Any) -> Generation:
    return Generation(**without_source(row) | {"params": _params_from(row.params)})


def _completion(row: Any) -> Response:
    return Completion(
        text=row.text,
        finish_reason=row.finish_reason,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        duration_s=row.duration_s,
        first_token_logprobs=row.first_token_logprobs,
        cost_usd=row.cost_usd,
    )


def _loglikelihood(row: Any) -> Response:
    return Loglikelihood(
        logprob=nan_if_null(row.logprob),
        is_greedy=row.is_greedy,
        n_tokens=row.n_tokens,
        n_truncated=row.n_truncated,
    )


_RESPONSES = ((schema.generation, _completion), (schema.loglikelihood, _loglikelihood))
