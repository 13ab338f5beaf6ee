"""Live battles over a real store: models that answer, and models that don't."""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace

import pytest
import sqlalchemy as sa

from arena.arena import Arena
from arena.battles import battle_from
from arena.live.demo import DEMO_MODELS, DEMO_SETTINGS, demo_prompts
from arena.live.moderation import WordList
from arena.live.opening import Live, live_arena, open_live
from arena.live.settings import LiveSettings
from arena.live.source import Drawing
from arena.records import Ballot, BattleStatus, BattleView, Rater, Waiting
from arena.refusals import Refused
from arena.responses import view_json
from arena.settings import ArenaSettings
from evalcore.errors import InputError
from evalcore.protocols import GenerateRequest
from evalcore.records import Example, Message, ModelSpec, SamplingParams
from evalcore.store import arena_schema as tables
from evalcore.store import open_store

PATIENCE_S = 60.0
UNANSWERED = (BattleStatus.CREATED, BattleStatus.STREAMING)
SECRET = ArenaSettings(secret="s" * 40)
SETTINGS = LiveSettings(
    params=SamplingParams(max_new_tokens=50), silence_s=1.0, answer_s=5.0, most_characters=2000
)


class Scripted:
    """A model that says what a function yields, in threads of its own as endpoints are."""

    def __init__(self, name: str, script: Callable[[GenerateRequest], Iterator[str]]) -> None:
        self.spec = ModelSpec(name=name, backend="fake", weights=name)
        self.script = script
        self.requests: list[GenerateRequest] = []

    def stream(self, request: GenerateRequest) -> Iterator[str]:
        self.requests.append(request)
        return self.script(request)


def says(*pieces: str) -> Callable[[GenerateRequest], Iterator[str]]:
    return lambda _request: iter(pieces)


def hangs(_request):
    """Say a word, then nothing until the test is over."""
    yield "Well, "
    threading.Event().wait(PATIENCE_S)


def hangs_at_once(_request):
    threading.Event().wait(PATIENCE_S)
    yield ""


def streams_for_ever(_request):
    for _ in itertools.count():
        time.sleep(0.01)
        yield "and "


def streams_nothing_for_ever(_request):
    for _ in itertools.count():
        time.sleep(0.01)
        yield ""


def raises(_request):
    yield "I am about to "
    raise RuntimeError("secret-model: CUDA error in layer 7")


def is_gone(_request):
    raise ConnectionRefusedError("http://secret-host:8000 refused the connection")


@dataclass
class Place:
    """An arena with live battles, and a visitor."""

    arena: Arena
    live: Live
    store: object
    rater: Rater = field(default_factory=lambda: Rater(id="r" * 32))

    def open(self, prompt: str | None = "Hello?", *, rater: Rater | None = None) -> BattleView:
        return asyncio.run(self.arena.next(rater or self.rater, prompt=prompt))

    def follow(self, view: BattleView, *, rater: Rater | None = None) -> BattleView:
        """Wait until the answers are there, or will not be."""
        end = time.monotonic() + PATIENCE_S
        while view.status in UNANSWERED:
            assert time.monotonic() < end, view
            time.sleep(0.01)
            view = asyncio.run(self.arena.view(rater or self.rater, view.token))
        return view

    def rows(self, table: sa.Table) -> list:
        with self.store.engine.connect() as connection:
            return connection.execute(table.select()).all()


@pytest.fixture
def make_place(tmp_path):
    with ExitStack() as stack:

        @contextmanager
        def opened(groups, drawing, settings, moderator):
            with open_store(tmp_path) as store:
                specs = [runner.spec for group in groups for runner in group]
                live = open_live(specs, drawing, settings=settings, moderator=moderator)
                with live_arena(store, live, settings=SECRET) as arena:
                    live.connect(groups)
                    yield Place(arena, live, store)

        def make(*groups, settings=SETTINGS, moderator=None, **drawing) -> Place:
            drawn = Drawing(seed=1, **drawing)
            return stack.enter_context(opened(groups, drawn, settings, moderator))

        yield make


@pytest.fixture
def talkers():
    return [
        [Scripted("alpha", says("The first ", "answer."))],
        [Scripted("beta", says("The second answer."))],
    ]


def texts(view: BattleView) -> set[str]:
    return {answer.text for answer in view.turns[-1].answers}


def test_both_answers_arrive_and_can_be_voted_on(make_place, talkers):
    place = make_place(*talkers)
    view = place.follow(place.open())
    assert view.status is BattleStatus.READY
    assert texts(view) == {"The first answer.", "The second answer."}
    _receipt, reveal = asyncio.run(
        place.arena.vote(place.rater, view.token, Ballot(choice="left"), reveal=True)
    )
    assert set(reveal.names) == {"alpha", "beta"}
    (vote,) = place.store.comparisons()
    assert {vote.model_a, vote.model_b} == {group[0].spec.fingerprint for group in talkers}


def test_names_stay_here_until_the_vote(make_place):
    place = make_place(
        [Scripted("quixotl-9", says("I am Quixotl 9, ", "trained by Foobar Labs."))],
        [Scripted("beta-2", says("Hello."))],
    )
    view = place.follow(place.open())
    assert "I am [hidden], trained by [hidden]." in texts(view)
    assert "uixotl" not in json.dumps(view_json(view))
    leaks = [row.leaks for row in place.rows(tables.answer)]
    assert sorted(leaks) == [[], ["Quixotl 9", "Foobar Labs"]]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (hangs, "silent"),
        (hangs_at_once, "silent"),
        (streams_nothing_for_ever, "silent"),
        (raises, "error"),
        (is_gone, "error"),
    ],
)
def test_model_that_fails_ends_the_battle_for_both_and_is_recorded(make_place, script, kind):
    bad = Scripted("secret-model", script)
    place = make_place([bad], [Scripted("beta", says("Fine."))])
    first = place.open()
    view = place.follow(first)
    assert view.status is BattleStatus.VOID
    assert view.turns[-1].answers == ()
    assert "secret" not in repr(view)
    (event,) = place.rows(tables.vote_event)
    (failure,) = event.detail["failures"]
    assert (event.kind, failure["name"], failure["kind"]) == ("no_answer", "secret-model", kind)
    # The page stays usable: the visitor gets another battle at once.
    again = place.open("And now?")
    assert again.battle_id != first.battle_id
    with pytest.raises(Refused):
        asyncio.run(place.arena.vote(place.rater, view.token, Ballot(choice="left"), reveal=True))


def test_endpoint_that_is_gone_ends_the_battle_and_names_nobody(make_place):
    from runners import open_together, parse_model

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    strings = [f"secret=openai:m@http://127.0.0.1:{port}/v1", "beta=fake:beta"]
    with open_together([parse_model(string) for string in strings]) as groups:
        place = make_place(*groups)
        view = place.follow(place.open())
        assert view.status is BattleStatus.VOID
        assert str(port) not in repr(view)
        (event,) = place.rows(tables.vote_event)
        assert [failure["name"] for failure in event.detail["failures"]] == ["secret"]
        place.live.maker.close()


def outcome_for(make_place, scripts, **settings) -> tuple:
    """Return all that a visitor sees, in a form in which battles can be compared."""
    limits = LiveSettings(params=SETTINGS.params, silence_s=1.0, answer_s=1.5, **settings)
    groups = [[Scripted(name, script)] for name, script in zip(("a", "b"), scripts, strict=True)]
    place = make_place(*groups, settings=limits)
    view = place.follow(place.open())
    return view.status, view.turns, view.form, view.receipt, view.place


@pytest.mark.parametrize("bad", [hangs, raises, is_gone, streams_for_ever])
def test_failure_looks_the_same_whichever_side_and_model_it_was(make_place, bad):
    fine = says("Fine.")
    first = outcome_for(make_place, (bad, fine))
    second = outcome_for(make_place, (fine, bad))
    assert first == second == outcome_for(make_place, (is_gone, hangs))


def test_model_that_streams_for_ever_fails_when_the_time_is_over(make_place):
    place = make_place(
        [Scripted("endless", streams_for_ever)],
        [Scripted("beta", says("Fine."))],
        settings=LiveSettings(params=SETTINGS.params, silence_s=5.0, answer_s=0.6),
    )
    assert place.follow(place.open()).status is BattleStatus.VOID
    (event,) = place.rows(tables.vote_event)
    assert event.detail["failures"][0]["kind"] == "too_slow"


@pytest.mark.parametrize(
    "script", [says("x" * 2_000_000), lambda _: ("x" for _ in range(2_000_000)), streams_for_ever]
)
def test_endless_answer_is_cut_for_both_sides_at_the_same_length(make_place, script):
    settings = LiveSettings(params=SETTINGS.params, most_characters=300)
    place = make_place(
        [Scripted("flood", script)], [Scripted("b", says("y" * 400))], settings=settings
    )
    view = place.follow(place.open())
    assert view.status is BattleStatus.READY
    answers = view.turns[-1].answers
    assert [len(answer.text) for answer in answers] == [300, 300]
    assert {answer.finish_reason for answer in answers} == {"length"}


def test_characters_that_can_not_be_stored_are_replaced(make_place):
    place = make_place(
        [Scripted("a1", says("nul \0, half a pair \ud83d, ", "whole 😀"))],
        [Scripted("b1", says("Fine."))],
    )
    view = place.follow(place.open())
    assert "nul \ufffd, half a pair ?, whole 😀" in texts(view)


def test_fault_of_ours_ends_the_battle_and_not_the_worker(make_place, talkers, monkeypatch):
    settings = LiveSettings(params=SETTINGS.params, most_running=1)
    place = make_place(*talkers, settings=settings)
    with monkeypatch.context() as broken:
        broken.setattr("arena.live.making.Session.wait", lambda _self: 1 / 0)
        assert place.follow(place.open()).status is BattleStatus.VOID
    (event,) = place.rows(tables.vote_event)
    assert event.detail["broken"] == "ZeroDivisionError: division by zero"
    assert place.follow(place.open()).status is BattleStatus.READY


def test_model_that_fails_twice_rests_and_the_others_go_on(make_place):
    bad = Scripted("bad", is_gone)
    good = [[Scripted(name, says("Fine."))] for name in ("b", "c")]
    place = make_place([bad], *good, policy="uniform")
    statuses = []
    while len(bad.requests) < 2:
        view = place.follow(place.open())
        statuses.append(view.status)
        if view.status is BattleStatus.READY:
            asyncio.run(place.arena.skip(place.rater, view.token, "other"))
    assert statuses.count(BattleStatus.VOID) == 2
    for _ in range(5):
        view = place.follow(place.open())
        assert view.status is BattleStatus.READY
        asyncio.run(place.arena.skip(place.rater, view.token, "other"))
    assert len(bad.requests) == 2


def test_visitor_waits_while_fewer_than_two_models_can_answer(make_place):
    place = make_place([Scripted("bad", is_gone)], [Scripted("b", says("Fine."))])
    for _ in range(2):
        assert place.follow(place.open()).status is BattleStatus.VOID
    assert isinstance(place.open(), Waiting)


def test_next_turn_continues_each_side_s_own_conversation(make_place):
    def repeats(request):
        yield f"{len(request.prompt)}: {request.prompt[-1].content}"

    a, b = Scripted("a", repeats), Scripted("b", says("B."))
    place = make_place([a], [b])
    view = place.follow(place.open("One"))
    asyncio.run(place.arena.add_turn(place.rater, view.token, "Two"))
    view = place.follow(place.open())
    assert texts(view) == {"3: Two", "B."}
    assert [m.content for m in a.requests[1].prompt] == ["One", "1: One", "Two"]
    assert [m.content for m in b.requests[1].prompt] == ["One", "B.", "Two"]
    assert a.requests[0].params.seed != a.requests[1].params.seed


def test_visitors_queue_with_a_place_and_the_queue_has_an_end(make_place):
    release = threading.Event()

    def waits(_request):
        release.wait(PATIENCE_S)
        yield "Done."

    settings = LiveSettings(
        params=SETTINGS.params, most_running=1, most_waiting=2, silence_s=PATIENCE_S
    )
    place = make_place([Scripted("a", waits)], [Scripted("b", waits)], settings=settings)
    raters = [Rater(id=str(number) * 32) for number in range(4)]
    first = place.open(rater=raters[0])
    wait_until(lambda: place.live.maker.load().n_running == 1)
    views = [place.open(rater=rater) for rater in raters[1:3]]
    assert [view.place for view in views] == [1, 2]
    with pytest.raises(Refused, match="Too many visitors"):
        place.open(rater=raters[3])
    release.set()
    done = [place.follow(v, rater=r) for v, r in zip([first, *views], raters, strict=False)]
    assert {view.status for view in done} == {BattleStatus.READY}


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_reload_shows_the_same_battle_and_its_drafts(make_place):
    release = threading.Event()

    def pauses(_request):
        yield "A sentence. "
        release.wait(PATIENCE_S)
        yield "Another."

    settings = LiveSettings(params=SETTINGS.params, silence_s=PATIENCE_S)
    place = make_place([Scripted("a", pauses)], [Scripted("b", says("Done."))], settings=settings)
    view = place.open()
    drafts = place.live.maker.drafts
    wait_until(lambda: {d.text for d in drafts(view.battle_id)} == {"A sentence. ", "Done."})
    assert sorted(d.is_complete for d in drafts(view.battle_id)) == [False, True]
    assert place.open("something else").battle_id == view.battle_id
    release.set()
    assert texts(place.follow(view)) == {"A sentence. Another.", "Done."}
    wait_until(lambda: not drafts(view.battle_id))


def test_skipping_lets_the_models_go(make_place):
    ended = threading.Event()

    def notices(_request):
        try:
            while True:
                time.sleep(0.01)
                yield "more "
        finally:
            ended.set()

    settings = LiveSettings(params=SETTINGS.params, silence_s=PATIENCE_S)
    place = make_place([Scripted("a", notices)], [Scripted("b", says("Done."))], settings=settings)
    view = place.open()
    wait_until(lambda: place.live.maker.load().n_running == 1)
    asyncio.run(place.arena.skip(place.rater, view.token, "slow"))
    assert ended.wait(PATIENCE_S)
    wait_until(lambda: place.live.maker.load().n_running == 0)


def test_battle_of_a_process_that_died_is_answered_by_the_next_one(tmp_path, talkers):
    rater, specs = Rater(id="r" * 32), [group[0].spec for group in talkers]
    with open_store(tmp_path) as store:
        # The maker of the first process never starts, as if it had been killed.
        live = open_live(specs, Drawing(), settings=SETTINGS)
        live.connect(talkers)
        with closing(Arena(store, live.source, settings=SECRET, maker=live.maker)) as arena:
            before = asyncio.run(arena.next(rater, prompt="Hello?"))
        live.maker.close()
        live = open_live(specs, Drawing(), settings=SETTINGS)
        with live_arena(store, live, settings=SECRET) as arena:
            place = Place(arena, live, store)
            resumed = asyncio.run(arena.next(rater))
            live.connect(talkers)
            after = place.follow(resumed)
    assert (after.battle_id, after.status) == (before.battle_id, BattleStatus.READY)


def test_answers_wait_for_a_database_that_is_gone_for_a_while(make_place, talkers, monkeypatch):
    place = make_place(*talkers)
    kept, refusals = place.arena.desk.answered, iter(["gone", "gone"])

    def answered(battle_id, answers):
        if next(refusals, None):
            raise Refused("store_unavailable")
        return kept(battle_id, answers)

    monkeypatch.setattr("arena.live.making._RETRY_S", 0.01)
    monkeypatch.setattr(place.arena.desk, "answered", answered)
    assert place.follow(place.open()).status is BattleStatus.READY


def test_prompt_is_drawn_from_the_set_least_seen_first(make_place, talkers):
    prompts = [
        Example(id=f"{n}" * 32, messages=(Message(role="user", content=f"Prompt {n}"),))
        for n in range(3)
    ]
    place = make_place(*talkers, prompts=prompts)
    asked = []
    for _ in range(6):
        view = place.follow(place.open(None))
        asked.append(view.turns[0].prompt[0].content)
        asyncio.run(place.arena.skip(place.rater, view.token, "other"))
    assert set(asked[:3]) == set(asked[3:]) == {"Prompt 0", "Prompt 1", "Prompt 2"}


def test_without_a_set_a_prompt_has_to_be_typed(make_place, talkers):
    place = make_place(*talkers)
    for prompt in (None, "  \n"):
        with pytest.raises(Refused, match="type a prompt"):
            place.open(prompt)


def test_prompts_get_a_category_and_what_is_needed_to_weigh_the_draw(make_place, talkers):
    place = make_place(*talkers, policy="uniform")
    view = place.open("Write a Python function that sorts.")
    (battle,) = place.rows(tables.battle)
    assert view.category == battle.category == "code"
    assert battle.flags == {
        "policy": "uniform",
        "prompt": "typed",
        "language": "latin",
        "n_available": 2,
    }


def test_prompt_that_is_too_long_or_unwanted_is_refused(make_place, talkers):
    place = make_place(*talkers, moderator=WordList(["bomb"]))
    with pytest.raises(Refused, match="can't be used"):
        place.open("How to build a BOMB?")
    with pytest.raises(Refused, match="at most 8000 characters"):
        place.open("x" * 8001)
    assert place.rows(tables.battle) == []


@pytest.mark.parametrize("bad", [0, 1])
def test_both_sides_answers_are_moderated(make_place, bad):
    scripts = [says("Fine."), says("Fine.")]
    scripts[bad] = says("Build a bomb ", "like this.")
    groups = [[Scripted(name, s)] for name, s in zip(("a", "b"), scripts, strict=True)]
    place = make_place(*groups, moderator=WordList(["bomb"]))
    assert place.follow(place.open()).status is BattleStatus.VOID
    (event,) = place.rows(tables.vote_event)
    (failure,) = event.detail["failures"]
    assert (failure["kind"], failure["name"]) == ("refused", "ab"[bad])


def test_outage_of_moderation_lets_the_prompt_in_and_marks_the_battle(make_place, talkers):
    class Broken:
        def refuses(self, text):
            raise TimeoutError

    place = make_place(*talkers, moderator=Broken())
    assert place.follow(place.open()).status is BattleStatus.READY
    (battle,) = place.rows(tables.battle)
    assert battle.flags["moderation"] == "unavailable"
    assert b"parity_arena_live_unmoderated 3.0" in place.arena.telemetry.text()


def test_battle_of_a_model_that_is_gone_for_good_ends(tmp_path, talkers):
    specs = [group[0].spec for group in talkers]
    others = [[Scripted(name, says("Hello."))] for name in ("gamma", "delta")]
    with open_store(tmp_path) as store:
        live = open_live(specs, Drawing(), settings=SETTINGS)
        live.connect(talkers)
        with closing(Arena(store, live.source, settings=SECRET, maker=live.maker)) as arena:
            asyncio.run(arena.next(Rater(id="r" * 32), prompt="Hello?"))
        live.maker.close()
        live = open_live([g[0].spec for g in others], Drawing(), settings=SETTINGS)
        with live_arena(store, live, settings=SECRET) as arena:
            live.connect(others)
            place = Place(arena, live, store)
            assert place.follow(place.open()).status is BattleStatus.VOID
            assert place.follow(place.open()).status is BattleStatus.READY


@pytest.mark.parametrize("behaviour", [says("Hello."), raises])
def test_page_that_asks_late_has_nothing_made_again(make_place, behaviour):
    model = Scripted("alpha", behaviour)
    settings = replace(SETTINGS, most_running=1)
    place = make_place([model], [Scripted("beta", says("Hi."))], settings=settings)
    place.follow(place.open())
    (row,) = place.rows(tables.battle)
    place.live.maker.begin(battle_from(row), 0)
    other = Rater(id="o" * 32)
    place.follow(place.open(rater=other), rater=other)  # comes after it in the queue
    assert len(model.requests) == 2


def test_visitors_wait_until_the_models_run(tmp_path, talkers):
    live = open_live([g[0].spec for g in talkers], Drawing(), settings=SETTINGS)
    with open_store(tmp_path) as store, live_arena(store, live, settings=SECRET) as arena:
        place = Place(arena, live, store)
        assert isinstance(place.open(), Waiting)
        live.connect(talkers)
        assert place.follow(place.open()).status is BattleStatus.READY


def test_fewer_than_two_models_are_refused(talkers):
    with pytest.raises(InputError, match="at least two models; got 1"):
        open_live([talkers[0][0].spec], Drawing(), settings=SETTINGS)


def test_tiny_family_answers_several_visitors_at_once(make_place):
    from runners import open_together, parse_model

    with open_together([parse_model(string) for string in DEMO_MODELS]) as groups:
        assert len(groups) == 1
        place = make_place(*groups, settings=DEMO_SETTINGS, prompts=demo_prompts())
        raters = [Rater(id=str(n) * 32) for n in range(4)]
        opened = [place.open(None, rater=rater) for rater in raters]
        done = [place.follow(v, rater=r) for v, r in zip(opened, raters, strict=True)]
        place.live.maker.close()
    assert {view.status for view in done} == {BattleStatus.READY}
    assert len({view.turns[0].prompt for view in done}) == 4
    assert place.live.maker.load().n_answered == 4
