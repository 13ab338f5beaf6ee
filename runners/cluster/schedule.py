"""Who does which unit, and what becomes of units whose worker was lost; nothing talks to Ray."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from evalcore.executors import Order
from evalcore.records import ModelSpec
from evalcore.stages import Job, Stage

__all__ = ["TRIES", "Schedule", "Seat", "Track", "Unit"]

TRIES: Final = 3
"""Of a unit that fails, or whose worker dies of it, before it is given up."""
_PATIENCE_S: Final = 1.0
"""A unit that has run for less is never given out a second time."""
_PLANNING_PATIENCE_S: Final = 60.0
_MORE_PATIENCE: Final = 4.0
"""By which it grows with each copy: also where several workers hang, others get the unit."""

Part = Sequence[int]


@dataclass(eq=False, slots=True)
class Seat:
    """A worker as the schedule sees it."""

    node: str = ""
    base: ModelSpec | None = None
    """What it has resident, or is about to have."""
    variant: str = ""
    """Fingerprint of what it runs at present."""
    units: list[Unit] = field(default_factory=list)
    """In flight, in the order they were given."""


@dataclass(eq=False, slots=True)
class Track:
    """A stage that is being done."""

    order: Order
    stage: Stage
    base: ModelSpec
    n_open: int = 0
    """Units that aren't done."""

    @property
    def spec(self) -> ModelSpec:
        """The variant."""
        return self.stage.spec


@dataclass(eq=False, slots=True)
class Unit:
    """A piece of work for one worker."""

    track: Track
    kind: Literal["plan", "run", "load"]
    parts: Sequence[Part] = ()
    """Positions in the stage's jobs; none for ``load``."""
    n_tries: int = 0
    deaths: list[str] = field(default_factory=list)
    """Nodes whose worker died while it ran this."""
    n_copies: int = 0
    """Workers that have it at present."""
    began_s: float = 0.0
    is_done: bool = False

    def jobs(self) -> list[Job]:
        """Return the jobs of all parts, part after part."""
        return [self.track.stage.jobs[place] for part in self.parts for place in part]

    @property
    def n_requests(self) -> int:
        """Number of jobs."""
        return sum(len(part) for part in self.parts)


class Schedule:
    """Gives units to workers: where their base is, the same variant first, and again at the end.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[ModelSpec, dict[str, deque[Unit]]] = {}
        self._n_waiting: dict[ModelSpec, int] = {}
        self._running: dict[Unit, None] = {}
        self._n_done = 0
        self._done_s = 0.0
        self.tracks: set[Track] = set()

    @property
    def is_busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.tracks)

    @property
    def n_waiting(self) -> int:
        """Units that nobody has."""
        return sum(self._n_waiting.values())

    def open(self, track: Track, units: Sequence[Unit]) -> None:
        """Take in a track and its units."""
        self.tracks.add(track)
        self.extend(track, units)

    def extend(self, track: Track, units: Sequence[Unit]) -> None:
        """Take in further units of a track."""
        track.n_open += len(units)
        for unit in units:
            self._put(unit)

    def next_unit(self, seat: Seat, seats: Collection[Seat]) -> Unit | None:
        """Return what a worker does next, and note that it does; None if there is nothing.

        A worker stays with its base and its variant as long as there is something to do. Then it
        takes the base with most units for each of its workers; and where nothing waits, the unit
        that has been running for longest, once more.
        """
        unit = self._waiting_unit(seat, seats)
        if unit is None and not seat.units:
            unit = self._warming(seat) or self._again(seat)
        if unit is None:
            return None
        if unit.n_copies == 0:
            unit.began_s = self._clock()
        unit.n_copies += 1
        if unit.kind != "load":
            self._running[unit] = None
        seat.units.append(unit)
        seat.base, seat.variant = unit.track.base, unit.track.spec.fingerprint
        return unit

    def returned(self, seat: Seat, unit: Unit) -> bool:
        """Note that a worker has answered; return whether it is the first one to."""
        is_first = self.skip(seat, unit)
        if is_first:
            self._n_done += 1
            self._done_s += self._clock() - unit.began_s
        return is_first

    def skip(self, seat: Seat, unit: Unit) -> bool:
        """Take a unit off a worker, and count it as done; return False if it did already."""
        seat.units.remove(unit)
        unit.n_copies -= 1
        self._running.pop(unit, None)
        if unit.is_done or unit.kind == "load" or unit.track not in self.tracks:
            return False
        unit.is_done = True
        unit.track.n_open -= 1
        return True

    def failed(self, unit: Unit, parts: Sequence[Part], reason: str) -> bool:
        """Try parts of a unit again; return False if they have been tried often enough."""
        n_tries = unit.n_tries + 1
        if n_tries >= TRIES:
            n_failed = sum(len(part) for part in parts)
            unit.track.stage.failures += [f"tried {n_tries} times: {reason}"] * n_failed
            return False
        again = Unit(unit.track, unit.kind, parts, n_tries=n_tries, deaths=list(unit.deaths))
        self.extend(unit.track, [again])
        return True

    def lost(self, seat: Seat, *, slots: int, alive: Collection[str]) -> list[Unit]:
        """Give a lost worker's units to others; return those that have killed too many workers.

        Only the units that it was at are blamed, and not where its whole node is gone.
        """
        given_up = []
        for place, unit in enumerate(seat.units):
            unit.n_copies -= 1
            if place < slots and unit.kind != "load":
                unit.deaths.append(seat.node)
            if unit.is_done or unit.n_copies or unit.track not in self.tracks:
                continue
            self._running.pop(unit, None)
            if sum(node in alive for node in unit.deaths) >= TRIES:
                given_up.append(unit)
            elif unit.kind != "load":
                self._put(unit, first=True)
        seat.units.clear()
        for unit in given_up:
            unit.is_done = True
            unit.track.n_open -= 1
            unit.track.stage.failures += [
                f"tried {TRIES} times: the worker died of it"
            ] * unit.n_requests
        return given_up

    def close(self, track: Track) -> None:
        """Forget a track, of which nothing is left to do."""
        self.tracks.discard(track)

    def _put(self, unit: Unit, *, first: bool = False) -> None:
        base, variant = unit.track.base, unit.track.spec.fingerprint
        queue = self._waiting.setdefault(base, {}).setdefault(variant, deque())
        queue.appendleft(unit) if first else queue.append(unit)
        self._n_waiting[base] = self._n_waiting.get(base, 0) + 1

    def _take(self, base: ModelSpec, variant: str) -> Unit:
        queue = self._waiting[base][variant]
        unit = queue.popleft()
        self._n_waiting[base] -= 1
        if not queue:
            del self._waiting[base][variant]
        if not self._n_waiting[base]:
            del self._n_waiting[base], self._waiting[base]
        return unit

    def _waiting_unit(self, seat: Seat, seats: Collection[Seat]) -> Unit | None:
        if not self._waiting:
            return None
        base = seat.base if seat.base in self._waiting else self._most_wanted(seats)
        if base != seat.base and seat.units:
            return None  # it would have to change its base between two units that it holds
        variants = self._waiting[base]
        return self._take(base, seat.variant if seat.variant in variants else next(iter(variants)))

    def _most_wanted(self, seats: Collection[Seat]) -> ModelSpec:
        served = [seat.base for seat in seats]
        return max(
            self._n_waiting, key=lambda base: self._n_waiting[base] / (1 + served.count(base))
        )

    def _warming(self, seat: Seat) -> Unit | None:
        """Let an idle worker load the base of a stage that is being planned elsewhere."""
        for unit in self._running:
            if unit.kind == "plan" and unit.track.base != seat.base:
                return Unit(unit.track, "load")
        return None

    def _again(self, seat: Seat) -> Unit | None:
        """Return a unit that is late with all workers that have it."""
        mean_s = self._done_s / self._n_done if self._n_done else 5 * _PATIENCE_S
        for unit in self._running:
            patience_s = _PLANNING_PATIENCE_S if unit.kind == "plan" else max(_PATIENCE_S, mean_s)
            patience_s *= _MORE_PATIENCE ** (unit.n_copies - 1)
            is_late = self._clock() - unit.began_s > patience_s
            is_here = unit.track.base == seat.base or seat.base is None
            if is_late and (is_here or unit.kind == "run"):
                return unit
        return None
