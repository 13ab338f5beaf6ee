"""The workers of a command: actors that are started, asked, replaced when lost, and ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from evalcore.errors import WorkspaceError
from runners.cluster.connection import living_nodes
from runners.cluster.placement import Need, bundles, capacity
from runners.cluster.schedule import Seat, Unit
from runners.cluster.worker import About, Answers, Load, Plan, Refused, Worker

__all__ = ["Event", "Lost", "Member", "Pool"]

_LOG = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
_PATIENCE_S: Final = 60.0
_MOST_AT_ONCE: Final = 256
_MOST_FAULTY: Final = 3
"""Workers in a row that fail at their own beginning: the next one would, too."""
_MOST_STILLBORN: Final = 20
"""Workers in a row that are killed before they have begun, as where memory is short."""
_Ref = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A worker is gone."""

    reason: str


@dataclass(eq=False, slots=True)
class Member:
    """A worker, as the command sees it."""

    number: int
    """Counts from 1 through the whole command; a lost one's replacement has another."""
    actor: Any
    group: PlacementGroup | None = None
    seat: Seat = field(default_factory=Seat)
    about: About | None = None
    """None until it has been placed and has started."""
    has_log: bool = False


Event = tuple[Member, Unit | None, Plan | Answers | Refused | Lost]
"""What a worker has to say, and of which unit; of none where it is lost."""


class Pool:
    """Keeps as many workers as wanted, or as fit, while nodes come and go.

    Parameters
    ----------
    need
        What each takes.
    load
        Makes a base resident on a worker.
    n_workers
        None means as many as fit.
    slots
        Units that a worker does at the same time.
    """

    def __init__(self, need: Need, load: Load, *, n_workers: int | None, slots: int) -> None:
        self.need = need
        self.slots = slots
        self.members: list[Member] = []
        self.n_started = 0
        self._actor: Any = ray.remote(Worker)
        self._load = load
        self._n_workers = n_workers
        self._asked: dict[_Ref, tuple[Member, Unit | None]] = {}
        self._looked_s = -_LOOK_S
        self._nodes: frozenset[str] = frozenset()
        self._n_stillborn = 0
        self._began_s = time.monotonic()
        self._has_told = False

    @property
    def alive_nodes(self) -> frozenset[str]:
        """Ids of the nodes that were there at the last look."""
        return self._nodes

    @property
    def seats(self) -> list[Seat]:
        """Of the workers that have started."""
        return [member.seat for member in self.members if member.about is not None]

    @property
    def ready(self) -> list[Member]:
        """Workers that can take another unit.

        Each holds one more than it does, so that it is busy while its results are on their way.
        """
        return [m for m in self.members if m.about and len(m.seat.units) <= self.slots]

    def look(self) -> None:
        """Replace lost workers and follow the cluster's size; now and then, however often asked."""
        if time.monotonic() - self._looked_s < _LOOK_S:
            return
        nodes = living_nodes()
        self._nodes = frozenset(node.node_id for node in nodes)
        wanted = capacity(self.need, nodes) if self._n_workers is None else self._n_workers
        for _ in range(wanted - len(self.members)):
            self._start()
        self._looked_s = time.monotonic()
        if not (self._has_told or self.seats) and self._looked_s - self._began_s > _PATIENCE_S:
            _LOG.warning("no worker has been started yet: the cluster is busy, or slow")
            self._has_told = True

    def give(self, member: Member, unit: Unit) -> None:
        """Send a unit to a worker."""
        spec, jobs = unit.track.spec, unit.track.stage.jobs
        if unit.kind == "plan":
            ref = member.actor.plan.remote(spec, [job.request for job in jobs])
        else:
            parts = [[jobs[place].request for place in part] for part in unit.parts]
            ref = member.actor.run.remote(spec, parts)
        self._asked[ref] = member, unit

    def wait(self, timeout_s: float) -> list[Event]:
        """Return what workers have said, as soon as there is anything."""
        refs = list(self._asked)
        if not refs:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(refs, num_returns=1, timeout=timeout_s)
        if ready:
            n_most = min(len(refs), _MOST_AT_ONCE)
            ready, _ = ray.wait(refs, num_returns=n_most, timeout=0)
        return [event for ref in ready for event in self._events(ref)]

    def drop(self, member: Member) -> None:
        """End a worker; the next look starts another one."""
        if member in self.members:
            self.members.remove(member)
        self._asked = {ref: asked for ref, asked in self._asked.items() if asked[0] is not member}
        ray.kill(member.actor, no_restart=True)
        if member.group is not None:
            remove_placement_group(member.group)

    def close(self) -> None:
        """End all workers."""
        for member in list(self.members):
            self.drop(member)

    def _start(self) -> None:
        self.n_started += 1
        group = None
        if self.need.ranks > 1:
            group = placement_group(bundles(self.need), strategy="STRICT_PACK")
        actor = self._actor.options(**self._options(group)).remote(self._load)
        member = Member(self.n_started, actor, group)
        self.members.append(member)
        self._asked[actor.about.remote()] = member, None

    def _options(self, group: PlacementGroup | None) -> dict[str, Any]:
        options: dict[str, Any] = {"max_concurrency": self.slots, "max_restarts": 0}
        need = self.need
        where: Any = "SPREAD"
        if group is not None:
            where = PlacementGroupSchedulingStrategy(
                group, 0, placement_group_capture_child_tasks=True
            )
        return {
            **options,
            "num_cpus": need.cpus,
            "num_gpus": need.gpus,
            "memory": need.memory_bytes,
            "resources": dict(need.resources),
            "scheduling_strategy": where,
            **({"label_selector": dict(need.labels)} if need.labels else {}),
        }

    def _events(self, ref: _Ref) -> Iterator[Event]:
        if ref not in self._asked:
            return  # of a worker that was dropped while this was on its way
        member, unit = self._asked.pop(ref)
        try:
            said: Any = ray.get(ref)
        except RayError as error:
            self._check_birth(member, error)
            self.drop(member)
            yield member, None, Lost(reason=_reason(error))
            return
        if isinstance(said, About):
            member.about, self._n_stillborn = said, 0
            member.seat.node = said.node
            return
        yield member, unit, said

    def _check_birth(self, member: Member, error: RayError) -> None:
        """Give up where workers can't even start."""
        if member.about is None:
            self._n_stillborn += 1
            is_fault = isinstance(error, RayActorError) and error.actor_init_failed
            if self._n_stillborn >= (_MOST_FAULTY if is_fault else _MOST_STILLBORN):
                raise WorkspaceError(f"workers can't start on the cluster: {_reason(error)}")


def _reason(error: RayError) -> str:
    """Return what Ray says of a worker's end: a sentence of its paragraphs."""
    text = str(error)
    detail = text.partition("Worker exit detail: ")[2].partition(". ")[0]
    lines = (line.strip() for line in (detail or text).splitlines())
    return next((line for line in lines if line), type(error).__name__)[:300]
