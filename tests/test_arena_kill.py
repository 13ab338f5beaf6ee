"""Whatever got a receipt is in the database, exactly once, even if the server is killed."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest
import sqlalchemy as sa

from evalcore.store import open_store
from evalcore.store.arena_schema import vote, vote_event

N_KILLS = 50
N_CLIENTS = 4


@pytest.mark.slow
def test_receipts_outlive_the_server(start_arena: Callable, tmp_path: Path):
    receipts: dict[str, str] = {}
    draw = random.Random(50)
    for _ in range(N_KILLS):
        server = start_arena(tmp_path)
        n_votes, jitter_s = len(receipts) + draw.randint(0, 8), draw.uniform(0, 0.05)
        with ThreadPoolExecutor(N_CLIENTS) as pool:
            voting = [pool.submit(vote_until_it_dies, server, receipts) for _ in range(N_CLIENTS)]
            while len(receipts) < n_votes and not all(client.done() for client in voting):
                time.sleep(0.002)
            time.sleep(jitter_s)
            os.kill(server.pid, signal.SIGKILL)
    with open_store(tmp_path) as store, store.engine.connect() as connection:
        kept = dict(connection.execute(sa.select(vote.c.battle_id, vote.c.receipt)).all())
        events = connection.execute(
            sa.select(vote_event.c.battle_id).where(vote_event.c.kind == "cast")
        )
        casts = Counter(row.battle_id for row in events)
        compared = Counter(comparison.id for comparison in store.comparisons())
    assert len(receipts) > N_KILLS
    assert receipts.items() <= kept.items()
    assert casts == compared == Counter(dict.fromkeys(kept, 1))


def vote_until_it_dies(server, receipts: dict[str, str]) -> None:
    try:
        cookie = server.sign_in()
        while True:
            battle = server.post("battle", {}, cookie=cookie)[1]["battle"]
            body = {"token": battle["token"], "choice": "left", "reveal": True}
            answer = server.post("vote", body, cookie=cookie)[1]
            receipts[battle["battle_id"]] = answer["receipt"]["id"]
    except (OSError, HTTPException, ValueError):
        return  # killed
