"""A study on PostgreSQL with two replicas at once: quotas and balance as with one."""

import asyncio
import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from arena.arena import Arena
from arena.records import Ballot, BattleView, Rater
from arena.settings import ArenaSettings
from arena.studies.lock import lock_study
from arena.studies.opening import study_arena
from evalcore.store import open_store

N_PROMPTS, N_RATERS, RATINGS = 6, 8, 4


def write_study(folder: Path) -> Path:
    lines = [
        {"prompt": f"{n}?", "answers": {"koala": "yes", "alpaca": "no"}} for n in range(N_PROMPTS)
    ]
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, lines)))
    settings = {"name": "s", "models": ["koala", "alpaca"], "answers": "answers.jsonl"}
    (folder / "study.yaml").write_text(json.dumps(settings | {"ratings_per_item": RATINGS}))
    return folder / "study.yaml"


async def rate(replicas: list[Arena], rater: Rater) -> None:
    """Rate until nothing is left, each request at the other replica."""
    turn = 0
    while isinstance(view := await replicas[turn % 2].next(rater, advance=True), BattleView):
        turn += 1
        await replicas[turn % 2].vote(rater, view.token, Ballot(choice="left"), reveal=True)


async def rate_all(replicas: list[Arena]) -> None:
    raters = [Rater(id=f"r{n}") for n in range(N_RATERS)]
    await asyncio.gather(*(rate(replicas, rater) for rater in raters))


def test_two_replicas_give_no_rating_twice(postgres, tmp_path: Path):
    path = write_study(tmp_path)
    settings = ArenaSettings(secret="s" * 32)
    with ExitStack() as opened:
        stores = [opened.enter_context(open_store(tmp_path, postgres.url)) for _ in range(2)]
        replicas = [
            opened.enter_context(study_arena(store, path, settings=settings))[0] for store in stores
        ]
        asyncio.run(rate_all(replicas))
        found = list(stores[0].comparisons())
        lock_study(stores[0], "s", tmp_path / "export", actor="me")
    assert set(Counter(c.example_id for c in found).values()) == {RATINGS}
    assert set(Counter((c.example_id, c.swapped) for c in found).values()) == {RATINGS // 2}
    assert len({(c.example_id, c.rater) for c in found}) == len(found) == N_PROMPTS * RATINGS
