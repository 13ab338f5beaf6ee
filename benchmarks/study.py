"""A whole study with simulated raters through the real service: what was asked, and what came out.

    python benchmarks/study.py --kind pairwise --prompts 180 --raters 100 -k 10

Raters see what a browser gets, and nothing else. Honest ones judge by a number in the answers, with
noise and tastes of their own; the careless ones are known here, so that flags can be checked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from arena.arena import Arena
from arena.service import create_app
from arena.settings import ArenaSettings
from arena.studies.lock import lock_study, verify_export
from arena.studies.registry import load_study, register_study
from arena.studies.report import StudyReport, study_report
from arena.studies.source import StudySource
from evalcore.codec import to_json
from evalcore.store import open_store

MODELS = {
    "pairwise": ("koala", "alpaca"),
    "ranking": ("vicuna", "koala", "alpaca", "llama"),
    "rating": ("koala", "alpaca"),
}
STRENGTH = {"vicuna": 0.6, "koala": 0.3, "alpaca": 0.0, "llama": -0.6, "good": 4.0, "bad": -4.0}
STRENGTH |= {"poor": -2.0, "worst": -3.0}
KNOWN = {
    "pairwise": ("good", "bad"),
    "ranking": ("good", "poor", "worst", "bad"),
    "rating": ("bad",),
}
QUALITY = re.compile(r"worth (-?\d+\.\d+)")


@dataclass
class Clock:
    """A clock that goes when a rater thinks."""

    at_ms: int = 1_750_000_000_000

    def __call__(self) -> int:
        """Return the time."""
        return self.at_ms


@dataclass
class SimulatedRater:
    """What one rater does with a battle."""

    kind: str
    """``honest``, ``hasty``, ``left`` (always the left answer) or ``random``."""
    rng: random.Random
    n_votes: int = 0
    client: Any = None

    def thinks_s(self) -> float:
        """Draw how long the rater looks at the answers."""
        return self.rng.uniform(0.5, 1.5) if self.kind == "hasty" else self.rng.uniform(6, 40)

    def ballot(self, battle: dict[str, Any]) -> dict[str, Any]:
        """Judge what is shown."""
        texts = battle["turns"][-1]["answers"]
        worth = [float(QUALITY.search(text).group(1)) for text in texts]
        careless = self.kind in ("hasty", "random")
        felt = [self.rng.gauss(0 if careless else w, 0.7) for w in worth]
        match battle["form"]["kind"]:
            case "pairwise":
                return {"choice": self._choice(felt)}
            case "ranking":
                order = sorted(range(len(felt)), key=lambda place: -felt[place])
                if self.kind == "left":
                    order = list(range(len(felt)))
                return {"ranking": [order.index(place) + 1 for place in range(len(felt))]}
        scales = battle["form"]["scales"]
        return {
            "ratings": {
                scale: [self._value(value, *ends) for value in felt]
                for scale, ends in scales.items()
            }
        }

    def _choice(self, felt: list[float]) -> str:
        if self.kind == "left":
            return "left"
        if self.kind in ("hasty", "random"):
            return self.rng.choice(["left", "right", "tie"])
        difference = felt[0] - felt[1]
        return "tie" if abs(difference) < 0.35 else "left" if difference > 0 else "right"

    def _value(self, felt: float, low: int, high: int) -> int:
        if self.kind == "left":
            return high
        middle = (low + high) / 2
        return min(max(round(middle + felt), low), high)


def write_study(folder: Path, *, kind: str, n_prompts: int, n_raters: int, k: int, seed: int = 0):
    """Write a study's files; return the path of its YAML file."""
    rng = random.Random(seed)
    models = MODELS[kind]
    lines = [
        {
            "id": f"p{number}",
            "prompt": f"Question {number}?",
            "answers": {
                model: f"It is worth {STRENGTH[model] + rng.gauss(0, 1):.3f} to me."
                + (f" I am {model.capitalize()}, a language model." if number % 20 == 0 else "")
                for model in models
            },
        }
        for number in range(n_prompts)
    ]
    write_lines(folder / "answers.jsonl", lines)
    write_lines(folder / "gold.jsonl", [known(kind, f"g{n}", n % 4 == 3) for n in range(12)])
    write_lines(folder / "training.jsonl", [known(kind, f"t{n}", False) for n in range(2)])
    n_items = n_prompts * (len(models) if kind == "rating" else 1)
    # Some rate fewer than they may: careless raters are stopped by nothing but their quota.
    each = -(-n_items * k // n_raters) + 2
    settings: dict[str, Any] = {
        "name": f"koala-{kind}",
        "title": "Which answer is better?",
        "kind": kind,
        "models": list(models),
        "answers": "answers.jsonl",
        "ratings_per_item": k,
        "items_per_rater": each,
        "raters": n_raters,
        "consent": "Your votes are kept without your name.",
        "gold": {"file": "gold.jsonl", "every": 5},
        "training": "training.jsonl",
        "seed": seed,
    }
    if kind == "rating":
        settings |= {"scales": [{"name": "helpfulness"}, {"name": "truth"}], "labels": ["refusal"]}
    path = folder / "study.yaml"
    path.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    return path


def known(kind: str, name: str, attention: bool) -> dict[str, Any]:
    answers = {model: f"It is worth {STRENGTH[model]:.3f} to me." for model in KNOWN[kind]}
    expected: Any = {"helpfulness": [1, 2], "truth": [1, 2]} if kind == "rating" else "good"
    return {
        "id": name,
        "prompt": f"Known question {name}?",
        "answers": answers,
        "expected": expected,
        "why": "more is better",
        "attention": attention,
    }


def write_lines(path: Path, lines: list[Any]) -> None:
    path.write_text("".join(to_json(line) + "\n" for line in lines), encoding="utf-8")


def crowd(n_raters: int, *, seed: int = 0) -> list[SimulatedRater]:
    """Return raters, one in ten of each careless kind but at least one."""
    n_each = max(n_raters // 25, 1)
    kinds = ["hasty"] * n_each + ["left"] * n_each + ["random"] * n_each
    kinds += ["honest"] * (n_raters - len(kinds))
    rng = random.Random(seed)
    rng.shuffle(kinds)
    return [SimulatedRater(kind, random.Random(f"{seed} {n}")) for n, kind in enumerate(kinds)]


async def rate_all(arena: Arena, raters: list[SimulatedRater], clock: Clock) -> Counter[str]:
    """Let all raters go on in turns until each has finished; count what happened."""
    transport = httpx.ASGITransport(create_app(arena))
    happened: Counter[str] = Counter()
    for rater in raters:
        rater.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        session = (await rater.client.post("/api/session", json={})).json()
        version = {"version": session["consent"]["version"]}
        await rater.client.post("/api/consent", json=version)
    at_work = list(raters)
    while at_work:
        outcomes = [await step(rater, clock) for rater in at_work]
        happened.update(outcomes)
        pairs = zip(at_work, outcomes, strict=True)
        at_work = [rater for rater, what in pairs if not what.startswith("finished")]
    for rater in raters:
        await rater.client.aclose()
    return happened


async def step(rater: SimulatedRater, clock: Clock) -> str:
    found = (await rater.client.post("/api/battle", json={"advance": True})).json()
    if "finished" in found:
        return f"finished: {found['finished']['reason']}"
    if "waiting" in found:
        return "waiting"
    battle = found["battle"]
    thought_s = rater.thinks_s()
    clock.at_ms += int(1000 * thought_s)
    if rater.kind == "honest" and rater.rng.random() < 0.01:
        await rater.client.post(
            "/api/skip", json={"token": battle["token"], "reason": "can't judge"}
        )
        return "skipped"
    vote = {
        "token": battle["token"],
        "visible_ms": int(1000 * thought_s),
        "reveal": True,
        **rater.ballot(battle),
    }
    if rater.rng.random() < 0.05:  # a slip, undone before the vote that counts
        slip = await rater.client.post("/api/vote", json=vote | {"reveal": False})
        slip.raise_for_status()
        taken_back = await rater.client.post("/api/undo", json={"token": battle["token"]})
        taken_back.raise_for_status()
    answer = await rater.client.post("/api/vote", json=vote)
    answer.raise_for_status()
    rater.n_votes += 1
    return "vote"


@dataclass
class Outcome:
    """What came out of a study."""

    report: StudyReport
    happened: Counter[str]
    raters: dict[str, str]
    """Kind by pseudonym."""
    export: Path
    export_hash: str
    took_s: float


def run_study(folder: Path, *, kind: str, n_prompts: int, n_raters: int, k: int) -> Outcome:
    """Write a study, let it be rated, lock it, and report."""
    path = write_study(folder, kind=kind, n_prompts=n_prompts, n_raters=n_raters, k=k)
    clock, raters = Clock(), crowd(n_raters)
    started = time.perf_counter()
    with open_store(folder / "out") as store:
        registered = register_study(path, store)
        settings = ArenaSettings(
            secret="s" * 32,
            consent_text=registered.definition.consent,
            vote_limit="100000/minute",
            battle_limit="100000/minute",
            clock=clock,
        )
        arena = Arena(store, StudySource(registered, clock=clock), settings=settings)
        try:
            happened = asyncio.run(rate_all(arena, raters, clock))
        finally:
            arena.close()
        with store.engine.connect() as connection:
            report = study_report(connection, load_study(connection, registered.name))
            kinds = {arena.identify(dict(r.client.cookies)).id: r.kind for r in raters}
        export_hash = lock_study(store, registered.name, folder / "export", actor="script")
    return Outcome(
        report, happened, kinds, folder / "export", export_hash, time.perf_counter() - started
    )


def describe(outcome: Outcome) -> dict[str, Any]:
    """Return the figures that a reader wants to see."""
    report, kinds = outcome.report, outcome.raters
    flagged = {r.rater: [flag.check for flag in r.flags] for r in report.raters if r.flags}
    return {
        "happened": dict(outcome.happened),
        "items": report.n_items,
        "complete": report.n_complete,
        "votes": report.result.n_votes,
        "votes_without_flagged": report.unflagged.n_votes,
        "positions": report.positions,
        "flagged_by_kind": {
            kind: f"{sum(kinds[r] == kind for r in flagged)} of {n}"
            for kind, n in sorted(Counter(kinds.values()).items())
        },
        "checks": dict(Counter(check for checks in flagged.values() for check in checks)),
        "result": report.result,
        "without_flagged": report.unflagged,
        "export_hash": outcome.export_hash,
        "verified": verify_export(outcome.export) == outcome.export_hash,
        "took_s": round(outcome.took_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=sorted(MODELS), default="pairwise")
    parser.add_argument("--prompts", type=int, default=180)
    parser.add_argument("--raters", type=int, default=100)
    parser.add_argument("-k", type=int, default=10, help="ratings an item")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for study, workspace and export")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        outcome = run_study(
            folder, kind=given.kind, n_prompts=given.prompts, n_raters=given.raters, k=given.k
        )
        if given.json:
            print(to_json(describe(outcome), indent=2))
        else:
            print((outcome.export / "report.md").read_text(encoding="utf-8"))
            rows = describe(outcome)
            for key in ("happened", "flagged_by_kind", "checks", "verified", "took_s"):
                print(f"{key}: {rows[key]}")


if __name__ == "__main__":
    main()
