"""``python -m runners.endpoint.stub``: serve until Ctrl-C."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from evalcore.errors import InputError, ParityError
from runners.endpoint.stub import FAULTS, StubReply, StubScript, read_recorded, serving


def serve(
    port: Annotated[int, typer.Option(min=0, help="Of 127.0.0.1; 0 takes a free one.")] = 0,
    latency_ms: Annotated[float, typer.Option(min=0.0, help="From call to answer.")] = 0.0,
    reply: Annotated[str, typer.Option(help="What every call is answered with.")] = "[[A]]",
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSONL of recorded verdicts instead.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name that it answers under; else the one asked for.")
    ] = None,
    fault_rate: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share that fails.")] = 0.0,
    fault: Annotated[
        list[str] | None, typer.Option(help=f"Kinds of failures: {', '.join(FAULTS)}.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which calls fail.")] = 0,
    retry_after: Annotated[str | None, typer.Option(help="Header that comes with 429.")] = None,
    quota: Annotated[int | None, typer.Option(min=0, help="Answers until it is used up.")] = None,
) -> None:
    """Serve until Ctrl-C, then print how many calls came and how many were answered."""
    unknown = set(fault or ()) - set(FAULTS)
    if unknown:
        raise InputError(f"--fault must be one of {', '.join(FAULTS)}; got {min(unknown)!r}")
    kinds = [kind for kind in FAULTS if kind in (fault or ("drop", "429", "500", "garbage"))]
    recorded = {} if replay is None else read_recorded(replay)
    script = StubScript(
        answer=(lambda _prompt: StubReply(text=reply)) if replay is None else recorded.get,
        latency_s=latency_ms / 1000,
        model=model,
        fault_rate=fault_rate,
        fault_kinds=tuple(kinds),
        seed=seed,
        retry_after=retry_after,
        quota=quota,
    )
    with serving(script, port=port) as server:
        print(f"openai:MODEL@{server.url}", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        stats = server.stats
        print(json.dumps({"n_calls": stats.n_calls, "n_answered": stats.n_answered}), flush=True)


if __name__ == "__main__":
    try:
        typer.run(serve)
    except (ParityError, OSError) as problem:
        print(f"stub: {problem}", file=sys.stderr)
        sys.exit(2)
