"""A server for tests that kill it: loaded once, forked for each start.

Reads a line ``WORKSPACE STORE_URL PROXY`` (``-`` for none) for each server to start, answers with
``PID PORT``. Ends at the end of its input.
"""

import os
import sys
from pathlib import Path

from arena.arena import Arena
from arena.fake import FakeSource
from arena.service import create_app
from arena.serving import Address, serve
from arena.settings import ArenaSettings
from evalcore.store import open_store

SETTINGS = ArenaSettings(secret="s" * 32, vote_limit="", battle_limit="", store_patience_s=2.0)


def run(workspace: str, url: str, proxy: str) -> None:
    with open_store(Path(workspace), None if url == "-" else url) as store:
        address = Address(port=0, trusted_proxies=() if proxy == "-" else (proxy,))
        app = create_app(Arena(store, FakeSource(), settings=SETTINGS))
        serve(app, address, ready=lambda link: print(os.getpid(), link, flush=True))


if __name__ == "__main__":
    for line in sys.stdin:
        if os.fork() == 0:
            run(*line.split())
            os._exit(0)
