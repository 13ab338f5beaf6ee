"""Who does which unit: decided without a cluster."""

from dataclasses import replace

import pytest

from evalcore.executors import Order
from evalcore.protocols import GenerateRequest
from evalcore.records import Example, Message, ModelSpec, SamplingParams
from evalcore.stages import ReadyJob, Stage, Work
from evalcore.store import open_store
from runners.cluster.schedule import Schedule, Seat, Track, Unit

SPEC = ModelSpec(name="a", backend="fake", weights="a")
OTHER = ModelSpec(name="b", backend="fake", weights="b")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path, None) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedule(clock: Clock) -> Schedule:
    return Schedule(clock=clock)


@pytest.fixture
def begin(schedule: Schedule, store):
    def _begin(spec: ModelSpec, n_units: int, *, base: ModelSpec | None = None) -> Track:
        example = Example(id="e", messages=(Message(role="user", content="x"),))
        params = SamplingParams()
        jobs = [
            ReadyJob(example, GenerateRequest(prompt=str(n), params=params)) for n in range(n_units)
        ]
        work = Work("work", "key", jobs)
        track = Track(Order(spec, work), Stage(spec, work, store), base or spec)
        schedule.open(track, [Unit(track, "run", [[n]]) for n in range(n_units)])
        return track

    return _begin


def test_a_worker_stays_with_its_base(schedule: Schedule, begin):
    begin(SPEC, 4), begin(OTHER, 9)
    seat = Seat()
    taken = [schedule.next_unit(seat, [seat])]
    assert taken[0].track.spec == OTHER  # the one with more to do
    for _ in range(8):
        schedule.returned(seat, taken[-1])
        taken.append(schedule.next_unit(seat, [seat]))
    assert {unit.track.spec.name for unit in taken} == {"b"}
    schedule.returned(seat, taken[-1])
    assert schedule.next_unit(seat, [seat]).track.spec == SPEC


def test_workers_spread_over_bases(schedule: Schedule, begin):
    begin(SPEC, 10), begin(OTHER, 10)
    seats = [Seat() for _ in range(4)]
    names = [schedule.next_unit(seat, seats).track.spec.name for seat in seats]
    assert sorted(names) == ["a", "a", "b", "b"]


def test_a_variant_is_finished_before_the_next_one_on_its_base(schedule: Schedule, begin):
    one, two = SPEC, replace(SPEC, chat_template="alpaca")
    begin(one, 2, base=SPEC), begin(two, 2, base=SPEC)
    seat, names = Seat(), []
    for _ in range(4):
        unit = schedule.next_unit(seat, [seat])
        names.append(unit.track.spec.chat_template)
        schedule.returned(seat, unit)
    assert names == [None, None, "alpaca", "alpaca"]


def test_a_late_unit_is_given_out_again_and_counts_once(schedule: Schedule, begin, clock: Clock):
    track = begin(SPEC, 1)
    slow, idle = Seat(), Seat()
    unit = schedule.next_unit(slow, [slow, idle])
    assert schedule.next_unit(idle, [slow, idle]) is None
    clock.now = 6.0
    assert schedule.next_unit(idle, [slow, idle]) is unit
    assert schedule.next_unit(Seat(), [slow, idle]) is None  # twice is enough for now
    assert schedule.returned(idle, unit)
    assert not schedule.returned(slow, unit)
    assert track.n_open == 0


def test_a_unit_that_two_workers_hang_at_is_given_to_a_third(
    schedule: Schedule, begin, clock: Clock
):
    begin(SPEC, 1)
    seats = [Seat() for _ in range(3)]
    unit = schedule.next_unit(seats[0], seats)
    clock.now = 6.0
    assert schedule.next_unit(seats[1], seats) is unit
    clock.now = 19.0
    assert schedule.next_unit(seats[2], seats) is None
    clock.now = 21.0
    assert schedule.next_unit(seats[2], seats) is unit


def test_a_unit_that_needs_not_be_done_after_all_is_not_given_out_again(schedule: Schedule, begin):
    track, seat = begin(SPEC, 1), Seat()
    unit = schedule.next_unit(seat, [seat])
    assert schedule.skip(seat, unit)
    assert (track.n_open, seat.units) == (0, [])
    assert schedule.next_unit(seat, [seat]) is None


def test_a_lost_workers_units_go_to_others(schedule: Schedule, begin):
    track = begin(SPEC, 3)
    lost, other = Seat(node="n"), Seat(node="m")
    units = [schedule.next_unit(lost, [lost]) for _ in range(2)]
    assert schedule.lost(lost, slots=1, alive={"n"}) == []
    again = [schedule.next_unit(other, [other]) for _ in range(3)]
    assert set(units) < set(again)
    assert all(schedule.returned(other, unit) for unit in again)
    assert track.n_open == 0


def test_a_unit_that_kills_three_workers_is_given_up(schedule: Schedule, begin):
    track = begin(SPEC, 1)
    for _ in range(2):
        seat = Seat(node="n")
        schedule.next_unit(seat, [seat])
        assert schedule.lost(seat, slots=1, alive={"n"}) == []
    seat = Seat(node="n")
    unit = schedule.next_unit(seat, [seat])
    assert schedule.lost(seat, slots=1, alive={"n"}) == [unit]
    assert track.stage.failures == ["tried 3 times: the worker died of it"]
    assert track.n_open == 0


def test_the_end_of_a_node_is_not_the_units_fault(schedule: Schedule, begin):
    begin(SPEC, 1)
    for number in range(5):
        seat = Seat(node=f"n{number}")
        assert schedule.next_unit(seat, [seat]) is not None
        assert schedule.lost(seat, slots=1, alive={"another"}) == []


def test_only_what_was_running_is_blamed(schedule: Schedule, begin):
    begin(SPEC, 2)
    seat = Seat(node="n")
    running, waiting = [schedule.next_unit(seat, [seat]) for _ in range(2)]
    schedule.lost(seat, slots=1, alive={"n"})
    assert (running.deaths, waiting.deaths) == (["n"], [])


def test_a_part_that_fails_is_tried_three_times(schedule: Schedule, begin):
    track = begin(SPEC, 1)
    seat = Seat()
    for _ in range(3):
        unit = schedule.next_unit(seat, [seat])
        schedule.returned(seat, unit)
        schedule.failed(unit, unit.parts, "ValueError: bad")
    assert schedule.next_unit(seat, [seat]) is None
    assert track.stage.failures == ["tried 3 times: ValueError: bad"]
    assert track.n_open == 0


def test_an_idle_worker_loads_the_base_while_another_one_plans(schedule: Schedule, begin):
    track = begin(SPEC, 0)
    schedule.extend(track, [Unit(track, "plan", [[0]])])
    planning, idle = Seat(), Seat()
    assert schedule.next_unit(planning, [planning]).kind == "plan"
    load = schedule.next_unit(idle, [planning, idle])
    assert (load.kind, load.parts) == ("load", ())
    assert not schedule.returned(idle, load)
    assert schedule.next_unit(idle, [planning, idle]) is None
