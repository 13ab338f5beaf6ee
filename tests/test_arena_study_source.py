"""A study as the arena's source: who is let in, what is shown and told, when it ends."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from arena.arena import Arena
from arena.recorded import read_votes
from arena.records import Ballot, BattleView, Finished, Rater, Waiting
from arena.refusals import Refused
from arena.responses import receipt_json, view_json
from arena.settings import ArenaSettings
from arena.studies.lock import lock_study, verify_export
from arena.studies.registry import load_study, register_study
from arena.studies.report import study_report
from arena.studies.source import StudySource
from arena.studies.stopping import decide
from evalcore.stats.parity import Verdict
from evalcore.store import open_store
from evalcore.store.arena_schema import audit, vote_event

START_MS = 1_750_000_000_000


class Room:
    """An arena with a study, and a clock."""

    def __init__(self, folder: Path, *, n_prompts: int = 2, **settings: object) -> None:
        lines = [
            {"prompt": f"{n}?", "answers": {"koala": f"I am Koala. {n}", "alpaca": f"no {n}"}}
            for n in range(n_prompts)
        ]
        known = {"prompt": "known", "answers": {"good": "yes", "bad": "no"}}
        known |= {"expected": "good", "why": "it says yes", "category": "known"}
        (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, lines)))
        (folder / "known.jsonl").write_text(json.dumps(known))
        given = {"name": "s", "models": ["koala", "alpaca"], "answers": "answers.jsonl"}
        (folder / "study.yaml").write_text(json.dumps(given | settings))
        self.now_ms = START_MS
        self.store = open_store(folder / "out")
        self.study = register_study(folder / "study.yaml", self.store)
        self.arena = Arena(
            self.store,
            StudySource(self.study, clock=lambda: self.now_ms),
            settings=ArenaSettings(secret="s" * 32, clock=lambda: self.now_ms),
        )

    def next(self, name: str) -> BattleView | Waiting | Finished:
        return asyncio.run(self.arena.next(rater(name), advance=True))

    def vote(self, name: str, wanted: str = "koala") -> None:
        """Vote for a model, which the answers tell here."""
        view = self.next(name)
        is_left = ("[hidden]" in view.turns[0].answers[0].text) == (wanted == "koala")
        self.now_ms += 10_000
        choice = wanted if wanted == "tie" else "left" if is_left else "right"
        self.cast(name, view, choice)

    def cast(self, name: str, view: BattleView, choice: str, *, reveal: bool = True):
        ballot = Ballot(choice=choice)
        return asyncio.run(self.arena.vote(rater(name), view.token, ballot, reveal=reveal))

    def report(self):
        with self.store.engine.connect() as connection:
            return study_report(connection, load_study(connection, "s"))


def rater(name: str) -> Rater:
    return Rater(id=name)


@pytest.fixture
def room(tmp_path: Path):
    opened = []

    def make(**settings: object) -> Room:
        opened.append(Room(tmp_path, **settings))
        return opened[-1]

    yield make
    for one in opened:
        one.arena.close()
        one.store.close()


def test_names_are_masked_and_not_revealed(room):
    study = room(n_prompts=1)
    view = study.next("a")
    shown = {answer.text for answer in view.turns[0].answers}
    assert shown == {"I am [hidden]. 0", "no 0"}
    _, reveal = study.cast("a", view, "tie")
    assert reveal.names == ()


def test_names_are_revealed_where_the_study_says_so(room):
    study = room(n_prompts=1, reveal=True)
    view = study.next("a")
    _, reveal = study.cast("a", view, "tie")
    assert sorted(reveal.names) == ["alpaca", "koala"]


def test_training_says_what_was_right_and_why(room):
    study = room(training="known.jsonl")
    view = study.next("a")
    right = ["left", "right"][[a.text for a in view.turns[0].answers].index("yes")]
    _, reveal = study.cast("a", view, "tie")
    assert reveal.note == f"{{{right}}}: it says yes"


def test_gold_looks_like_any_other_item(room):
    study = room(n_prompts=3, gold={"file": "known.jsonl", "every": 2})
    seen = []
    while isinstance(view := study.next("a"), BattleView):
        sent = view_json(view)
        sent["progress"] = sent["progress"]["total"]
        seen.append({key: sent[key] for key in sent.keys() - {"battle_id", "token", "turns"}})
        _, reveal = study.cast("a", view, "left")
        assert (reveal.names, reveal.note) == ((), "")
    assert seen == seen[:1] * 4
    report = study.report()
    assert (report.n_known, report.result.n_votes) == (1, 3)


@pytest.mark.parametrize("join", ["link", "account"])
def test_visitors_are_not_let_into_an_invited_study(room, join: str):
    study = room(join=join)
    with pytest.raises(Refused) as raised:
        study.next("a")
    assert raised.value.code == "not_signed_in"
    invited = Rater(id="b", origin=join, account="b")
    assert isinstance(asyncio.run(study.arena.next(invited)), BattleView)


def test_raters_above_the_number_are_not_let_in(room):
    study = room(raters=1)
    study.vote("a")
    assert (study.next("b")).reason == "quota"
    assert isinstance(study.next("a"), BattleView)


def test_rater_with_a_full_quota_has_finished(room):
    study = room(items_per_rater=1)
    study.vote("a")
    found = study.next("a")
    assert (found.reason, isinstance(found, Finished)) == ("quota", True)


def test_item_that_is_left_goes_to_another_rater_after_its_lease(room):
    study = room(n_prompts=1, lease_s=60)
    left = study.next("a")
    assert isinstance(study.next("b"), Waiting)
    study.now_ms += 61_000
    assert isinstance(study.next("b"), BattleView)
    with pytest.raises(Refused) as raised:
        study.cast("a", left, "tie")
    assert raised.value.code == "expired"


def test_skipped_item_goes_to_another_rater_and_not_back(room):
    study = room(n_prompts=1)
    view = study.next("a")
    asyncio.run(study.arena.skip(rater("a"), view.token, "can't judge"))
    assert (study.next("a")).reason == "complete"
    study.vote("b")
    assert study.report().skips == {"skipped: can't judge": 1}


def test_voided_vote_frees_its_item_and_unvoiding_takes_it_back(room):
    study = room(n_prompts=1)
    study.vote("a")
    assert (study.next("b")).reason == "complete"
    (comparison,) = study.store.comparisons()
    study.arena.review.void(comparison.id, actor="admin", reason="test")
    assert study.report().by_status == {"void": 1}
    assert list(study.store.comparisons()) == []
    study.arena.review.unvoid(comparison.id, actor="admin", reason="wrong one")
    assert (study.next("b")).reason == "complete"
    study.arena.review.void(comparison.id, actor="admin", reason="test")
    assert isinstance(study.next("b"), BattleView)


def test_reported_mistake_does_not_tell_which_items_are_known(room):
    study = room(n_prompts=3, gold={"file": "known.jsonl", "every": 2})
    statuses = []
    while isinstance(view := study.next("a"), BattleView):
        study.cast("a", view, "left")
        receipt = asyncio.run(study.arena.report_mistake(rater("a"), view.token, ""))
        seen = asyncio.run(study.arena.view(rater("a"), view.token)).receipt
        statuses.append((receipt_json(receipt)["status"], receipt_json(seen)["status"]))
    assert statuses == [("mistaken", "mistaken")] * 4


def test_mistake_reported_after_the_lock_is_kept_and_changes_nothing(room, tmp_path: Path):
    study = room(n_prompts=1)
    view = study.next("a")
    study.cast("a", view, "left")
    before = study.report().by_status
    lock_study(study.store, "s", tmp_path / "export", actor="me")
    report = lambda: study.arena.report_mistake(rater("a"), view.token, "oh")  # noqa: E731
    assert {asyncio.run(report()).status for _ in range(2)} == {"counted"}
    assert study.report().by_status == before
    assert len(list(study.store.comparisons())) == 1
    with study.store.engine.connect() as connection:
        kinds = list(connection.scalars(sa.select(vote_event.c.kind).order_by(vote_event.c.id)))
    assert kinds == ["cast", "mistake after the lock"]


def test_rater_is_forgotten_after_the_lock_and_the_log_says_so(room, tmp_path: Path):
    study = room(n_prompts=2)
    study.vote("a")
    lock_study(study.store, "s", tmp_path / "export", actor="me")
    hashed = verify_export(tmp_path / "export")
    assert asyncio.run(study.arena.forget(rater("a"), votes="delete")) == 1
    assert verify_export(tmp_path / "export") == hashed
    with study.store.engine.connect() as connection:
        detail = connection.scalars(sa.select(audit.c.detail).order_by(audit.c.id.desc())).first()
    assert detail == {"votes": "delete", "n_votes": 1, "n_after_lock": 1}


def test_undone_vote_keeps_its_item(room):
    study = room(n_prompts=1)
    view = study.next("a")
    study.cast("a", view, "tie", reveal=False)
    asyncio.run(study.arena.undo(rater("a"), view.token))
    assert isinstance(study.next("b"), Waiting)
    study.vote("a")
    assert study.report().result.n_votes == 1


def test_anytime_study_stops_when_its_pair_is_decided(room):
    study = room(n_prompts=40, stop={"rule": "anytime", "tuned_for": 20})
    n_votes = 0
    while isinstance(study.next("a"), BattleView):
        study.vote("a", wanted="koala")
        n_votes += 1
    assert n_votes < 40
    assert (study.next("b")).reason == "stopped"
    report = study.report()
    assert report.study.stop_reason == f"every pair was decided after {n_votes} items"
    (decision,) = report.decisions.values()
    assert (decision.verdict, decision.n) == (Verdict.BETTER, n_votes)


def test_anytime_rule_looks_only_at_items_with_all_their_ratings(room):
    study = room(n_prompts=12, ratings_per_item=2, stop={"rule": "anytime", "tuned_for": 20})
    for _ in range(12):
        study.vote("a")
    assert [decision.n for decision in study.report().decisions.values()] == [0]
    assert isinstance(study.next("b"), BattleView)


def test_study_with_a_fixed_number_decides_nothing(room):
    study = room(n_prompts=1)
    study.vote("a")
    assert decide(study.study, []) == {}
    assert (study.next("a")).reason == "complete"


def test_opinions_are_of_the_pair_whatever_order_names_it(room):
    study = room(n_prompts=1, ratings_per_item=2)
    study.vote("a", wanted="koala")
    with study.store.engine.connect() as connection:
        (vote,) = read_votes(connection, "s", study.study.items)
    battle = vote.battle
    turned = replace(battle, models=battle.models[::-1], sides=battle.sides[::-1])
    example = battle.example_id
    assert vote.cast().opinions == {(example, "alpaca", "koala"): "model_b"}
    assert replace(vote, battle=turned).cast().opinions == vote.cast().opinions


def test_report_without_votes_claims_nothing(room):
    report = room().report()
    (pair,) = report.result.pairs
    assert pair.test.verdict is Verdict.NOT_ENOUGH_VOTES
    assert (report.result.n_votes, report.raters) == (0, ())
