"""How fast votes are imported and exported, and in how much memory.

Run it with ``python benchmarks/exchange.py [N]``; N votes, a million unless said otherwise. Each
format is read into a fresh workspace on SQLite and written again, by a process of its own, whose
peak memory is told. The rate is of the whole: hashing the file, parsing, checking, the transaction.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evalcore.exchange.exporting import export_votes
from evalcore.exchange.importing import import_files
from evalcore.store import open_store

N_VOTES = 1_000_000
N_MODELS = 100
FORMATS = (
    ("votes", ".jsonl"),
    ("votes", ".csv"),
    ("votes", ".parquet"),
    ("lmarena", ".jsonl"),
    ("lmarena with conversations", ".jsonl"),
)


def write_votes(path: Path, n: int, *, form: str) -> None:
    """Write n battles in LMArena's form, with conversations of about a kilobyte if wanted."""
    rng = random.Random(0)
    names = [f"model-{k}" for k in range(N_MODELS)]
    answer = "An answer of some length, as models give it. " * 10
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            a, b = rng.sample(names, 2)
            row = {
                "question_id": f"{rng.getrandbits(128):032x}",
                "model_a": a,
                "model_b": b,
                "winner": rng.choice(("model_a", "model_b", "tie", "tie (bothbad)")),
                "judge": f"arena_user_{rng.randrange(20_000)}",
                "tstamp": 1.7e9 + 7.5 * number,
            }
            if "conversations" in form:
                for side in "ab":
                    row[f"conversation_{side}"] = [
                        {"role": "user", "content": f"Question {number}?"},
                        {"role": "assistant", "content": f"{answer}{side}{number}"},
                    ]
            file.write(json.dumps(row) + "\n")


def timed(form: str, source: Path, folder: Path, ending: str) -> None:
    """Import and export, and print the rates."""
    name = form.split()[0]
    with open_store(folder / "out") as store:
        begin, cpu = time.perf_counter(), time.process_time()
        n = import_files(name, [source], store).n_new["comparison"]
        took_in, cpu_in = time.perf_counter() - begin, time.process_time() - cpu
        begin, cpu = time.perf_counter(), time.process_time()
        # Bare battles make no rows of conversations: they go out as the votes that they are.
        out_form = "lmarena" if "conversations" in form else "votes"
        export_votes(out_form, folder / f"again{ending}", store, kinds=["human"])
        took_out, cpu_out = time.perf_counter() - begin, time.process_time() - cpu
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{form} {ending}: {n / took_in:,.0f} votes/s in ({n / cpu_in:,.0f} by CPU time), "
        f"{n / took_out:,.0f} out ({n / cpu_out:,.0f}), peak {peak_mib:,.0f} MiB",
        flush=True,
    )


def other_form(source: Path, ending: str) -> Path:
    """Write the votes of one vote file as another kind of file."""
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder)) as store:
        import_files("lmarena", [source], store)
        path = source.with_name(f"votes{ending}")
        export_votes("votes", path, store, kinds=["human"])
    return path


def main() -> None:
    if len(sys.argv) > 2:
        timed(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
        return
    n = int(sys.argv[1]) if len(sys.argv) > 1 else N_VOTES
    for form, ending in FORMATS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            n_rows = n // 10 if "conversations" in form else n
            source = folder / "battles.jsonl"
            write_votes(source, n_rows, form=form)
            if form == "votes":
                source = other_form(source, ending)
            command = [sys.executable, __file__, str(n_rows), form, str(source), name, ending]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
