"""The executor on Ray: a loop that hands out units, keeps what comes back, and does so again."""

from __future__ import annotations

import logging
import random
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from evalcore.errors import InputError
from evalcore.executors import PAID_BACKENDS, Executor, Order, Outcome
from evalcore.hashing import content_hash
from evalcore.records import ModelSpec
from evalcore.stages import Advance, Batch, Begin, Stage
from evalcore.store import Store
from runners.backends import backend
from runners.cluster.choice import ClusterChoice
from runners.cluster.connection import check_versions, connected, living_nodes
from runners.cluster.placement import check_fits, need_of
from runners.cluster.pool import Lost, Member, Pool
from runners.cluster.schedule import Schedule, Track, Unit
from runners.cluster.units import Part, UnitSizes, cut_by_text, join_parts
from runners.cluster.worker import (
    Answers,
    DifferentFiles,
    Load,
    Plan,
    Refused,
    differing_file,
    load_checked,
)
from runners.options import RunnerOptions

__all__ = ["RayExecutor", "ray_executor"]

_LOG = logging.getLogger(__name__)
_WAIT_S: Final = 0.5


@contextmanager
def ray_executor(
    choice: ClusterChoice,
    *,
    local: Executor,
    logs: Path,
    options: RunnerOptions | None = None,
    load: Load | None = None,
    sizes: UnitSizes | None = None,
) -> Iterator[RayExecutor]:
    """Carry out orders on a cluster, which is looked for when there is something to do.

    Parameters
    ----------
    choice
        Which cluster, and what a worker takes.
    local
        Makes calls that are paid: they all go through one process, so that they keep to one rate
        and one budget.
    logs
        Folder for a file of each worker.
    options
        Of the runners on the workers.
    load
        Makes a base resident on a worker; None loads what a spec says, after a look at its files.
    sizes
        Of the units.
    """
    options = replace(options or RunnerOptions(), budget=None)
    with ExitStack() as opened:
        yield RayExecutor(
            choice,
            local=local,
            logs=logs,
            load=load or partial(load_checked, options=options),
            sizes=sizes or UnitSizes(),
            opened=opened,
        )


class RayExecutor:
    """See :class:`evalcore.executors.Executor`; made by :func:`ray_executor`."""

    def __init__(
        self,
        choice: ClusterChoice,
        *,
        local: Executor,
        logs: Path,
        load: Load,
        sizes: UnitSizes,
        opened: ExitStack,
    ) -> None:
        self._choice = choice
        self._local = local
        self._logs = logs
        self._load = load
        self._sizes = sizes
        self._opened = opened
        self._is_connected = False
        self.pool: Pool | None = None

    def carry_out(
        self, orders: Sequence[Order], store: Store, *, begin: Begin
    ) -> Generator[Outcome, None, None]:
        """Answer what is left of each order; paid calls here, all else on the cluster."""
        paid = [order for order in orders if order.spec.backend in PAID_BACKENDS]
        if paid:
            yield from self._local.carry_out(paid, store, begin=begin)
        others = [order for order in orders if order.spec.backend not in PAID_BACKENDS]
        if others:
            pool = self._ready_pool([order.spec for order in others])
            yield from _Run(pool, self._sizes, store, begin, self._logs).outcomes(others)

    def _ready_pool(self, specs: Sequence[ModelSpec]) -> Pool:
        """Return the workers: those of before, with their bases, unless these need others."""
        if not self._is_connected:
            self._opened.enter_context(connected(self._choice.address))
            self._is_connected = True
        nodes = living_nodes()
        need = need_of(self._choice, specs, nodes)
        if self.pool is None or self.pool.need != need:
            check_fits(need, nodes)
            if self.pool is None:
                check_versions(nodes)
            if self.pool is not None:
                self.pool.close()
            n_workers, slots = self._choice.workers, self._choice.slots
            self.pool = Pool(need, self._load, n_workers=n_workers, slots=slots)
            self._opened.callback(self.pool.close)
        return self.pool


@dataclass(slots=True)
class _Planned:
    """Parts that several variants of a base have in common."""

    parts: Sequence[Part] | None = None
    """None while they are being made."""
    awaiting: tuple[Track, ...] = ()


class _Run:
    """One call of the executor, until all its orders are carried out."""

    def __init__(
        self, pool: Pool, sizes: UnitSizes, store: Store, begin: Begin, logs: Path
    ) -> None:
        self._pool = pool
        self._sizes = sizes
        self._store = store
        self._begin = begin
        self._logs = logs
        self._rng = random.Random()  # noqa: S311
        self._schedule = Schedule()
        self._plans: dict[str, _Planned] = {}
        self._advances: dict[Stage, Advance] = {}

    def outcomes(self, orders: Sequence[Order]) -> Generator[Outcome, None, None]:
        """Carry out orders, and yield each at its end."""
        # Another command may be given the same: each begins at another place.
        orders = self._rng.sample(orders, len(orders))
        stages = [Stage(order.spec, order.work, self._store) for order in orders]
        n_variants = len({order.spec.fingerprint for order in orders})
        label = f"cluster · {n_variants} variants · {len(orders)} works"
        advance = self._begin(label, sum(len(stage.jobs) for stage in stages))
        self._pool.look()
        for order, stage in zip(orders, stages, strict=True):
            yield from self._enter(order, stage, advance)
        while self._schedule.is_busy:
            self._pool.look()
            yield from self._hand_out()
            yield from self._take_in()

    def _enter(self, order: Order, stage: Stage | None, advance: Advance) -> Iterator[Outcome]:
        """Begin a stage, or the first one after it that has anything to do."""
        while stage is not None and not stage.jobs:
            stage = stage.following()
        if stage is None:
            yield Outcome(order, ())
            return
        self._advances[stage] = advance
        track = Track(order, stage, backend(stage.spec.backend).shared(stage.spec))
        self._schedule.open(track, ())
        self._plan(track)

    def _plan(self, track: Track) -> None:
        """Cut a stage by its text, or have it cut by a worker: once for all variants of a base."""
        plan_key = backend(track.spec.backend).plan_key(track.spec)
        if plan_key is None:
            requests = [job.request for job in track.stage.jobs]
            self._cut(track, cut_by_text(requests, size=self._sizes.part_requests))
            return
        keys = [job.key for job in track.stage.jobs]
        key = content_hash([repr(track.base), plan_key, keys])
        planned = self._plans.setdefault(key, _Planned())
        if planned.parts is not None:
            self._cut(track, planned.parts)
            return
        if not planned.awaiting:
            self._schedule.extend(track, [Unit(track, "plan", [range(len(keys))])])
        else:
            track.n_open += 1  # the plan that another track is waiting for
        planned.awaiting = (*planned.awaiting, track)

    def _cut(self, track: Track, parts: Sequence[Part]) -> None:
        n_workers = len(self._pool.members) * self._pool.slots
        units = join_parts(parts, n_workers=n_workers, most=self._sizes.parts)
        self._rng.shuffle(units)
        self._schedule.extend(track, [Unit(track, "run", some) for some in units])

    def _hand_out(self) -> Iterator[Outcome]:
        """Give each worker something to do; one round after the other, so that all get some.

        Yields the orders that ended because another command has answered what was left of them.
        """
        seats = self._pool.seats
        ready = self._pool.ready
        touched: dict[Track, None] = {}
        while ready:
            given = []
            for member in ready:
                while (unit := self._schedule.next_unit(member.seat, seats)) is not None:
                    if self._is_needed(unit):
                        self._pool.give(member, unit)
                        given.append(member)
                        break
                    self._schedule.skip(member.seat, unit)
                    touched[unit.track] = None
            ready = [member for member in given if len(member.seat.units) <= self._pool.slots]
        for track in touched:
            yield from self._leave(track)

    def _is_needed(self, unit: Unit) -> bool:
        """Leave out the parts that another command has answered; return whether any are left."""
        if unit.kind != "run":
            return True
        stage, n_requests = unit.track.stage, unit.n_requests
        keys = [job.key for job in unit.jobs()]
        known = self._store.answered(stage.spec.fingerprint, keys)
        left = [p for p in unit.parts if any(stage.jobs[place].key not in known for place in p)]
        if left and unit.n_copies > 1:
            return True  # whole, as the other worker has it
        if left:
            unit.parts = left
        if n_known := n_requests - (unit.n_requests if left else 0):
            self._advances[stage](n_known, 0.0)
        return bool(left)

    def _take_in(self) -> Iterator[Outcome]:
        """Keep what has come back, and yield the orders that ended with it."""
        answered: dict[Track, list[tuple[Unit, Answers]]] = {}
        touched: dict[Track, None] = {}
        refusals: list[Exception] = []
        for member, unit, said in self._pool.wait(_WAIT_S):
            if isinstance(said, Lost):
                self._log(member, [f"lost: {said.reason}"])
                _LOG.warning("worker %d is lost: %s", member.number, said.reason)
                for given_up in self._lost(member):
                    touched[given_up.track] = None
                continue
            self._log(member, said.log)
            if unit is None or not self._schedule.returned(member.seat, unit):
                continue
            if isinstance(said, Refused):
                refusals.append(_refusal(said, member, unit.track.spec))
            elif isinstance(said, Plan):
                self._spread(unit.track, said.parts)
            else:
                answered.setdefault(unit.track, []).append((unit, said))
            touched[unit.track] = None
        for track, some in answered.items():
            self._keep(track, some)
        if refusals:
            raise refusals[0]
        touched |= dict.fromkeys(self._abandoned(touched))
        for track in touched:
            yield from self._leave(track)

    def _lost(self, member: Member) -> list[Unit]:
        self._pool.look()
        alive = self._pool.alive_nodes
        given_up = self._schedule.lost(member.seat, slots=self._pool.slots, alive=alive)
        for unit in given_up:
            self._advances[unit.track.stage](unit.n_requests, 0.0)
        return given_up

    def _spread(self, track: Track, parts: Sequence[Part]) -> None:
        """Give all tracks their units that were waiting for a plan."""
        for planned in self._plans.values():
            if track in planned.awaiting:
                for waiting in planned.awaiting:
                    waiting.n_open -= waiting is not track
                    if waiting in self._schedule.tracks:
                        self._cut(waiting, parts)
                planned.parts, planned.awaiting = parts, ()

    def _abandoned(self, touched: Iterable[Track]) -> list[Track]:
        """Return the tracks that waited for a plan which could not be made."""
        found: list[Track] = []
        for track in touched:
            for planned in self._plans.values():
                if track not in planned.awaiting or not track.stage.failures:
                    continue
                others = [other for other in planned.awaiting if other is not track]
                for other in others:
                    other.n_open -= 1
                    other.stage.failures += track.stage.failures[: len(other.stage.jobs)]
                planned.awaiting = ()
                found += others
        return found

    def _keep(self, track: Track, answered: Sequence[tuple[Unit, Answers]]) -> None:
        advance = self._advances[track.stage]
        batches = [
            Batch(unit.jobs(), answers.finished)
            for unit, answers in answered
            if answers.finished.results
        ]
        if batches:
            track.stage.keep(batches, advance=advance)
        for unit, answers in answered:
            for number, reason in answers.failed:
                if not self._schedule.failed(unit, [unit.parts[number]], reason):
                    advance(len(unit.parts[number]), 0.0)

    def _leave(self, track: Track) -> Iterator[Outcome]:
        """End a stage of which nothing is left to do, and begin what follows from it."""
        if track.n_open or track not in self._schedule.tracks:
            return
        self._schedule.close(track)
        advance = self._advances.pop(track.stage)
        if track.stage.failures:
            yield Outcome(track.order, track.stage.failures)
            return
        following = track.stage.following()
        if following is not None:
            work = following.work.name
            advance = self._begin(f"{track.spec.name} · {work}", len(following.jobs))
        yield from self._enter(track.order, following, advance)

    def _log(self, member: Member, lines: Sequence[str]) -> None:
        """Write what a worker has to say into its file in the workspace."""
        if not lines:
            return
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"worker-{member.number}.log"
        with path.open("a", encoding="utf-8") as file:
            if not member.has_log and member.about is not None:
                file.write(f"on {member.about.host}, process {member.about.pid}\n")
                member.has_log = True
            file.writelines(f"{line}\n" for line in lines)


def _refusal(said: Refused, member: Member, spec: ModelSpec) -> Exception:
    host = member.about.host if member.about else "a node"
    if isinstance(said.error, DifferentFiles):
        names = differing_file(spec, said.error.hashes)
        return InputError(f"model {spec.name!r} has other files on {host} than here: {names}")
    return type(said.error)(f"{said.error} (on {host})")
