"""Where the engine's time goes, by kind of work: what bounds each figure of benchmarks/engine.py.

    python benchmarks/engine_profile.py --only rolling

Runs our side of each piece of work once under torch's profiler, which slows it down by a few
percent, and prints the share of each kind of operation, with the rate that its products reach
beside the machine's best. The profiler reads the clock on the wall: nothing else should be running.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from engine_generation import generation_profile
from engine_measure import Setup, matmul_peak
from engine_scoring import scoring_profiles
from engine_workloads import GENERATION, N_VOCABULARY, make_model
from torch.profiler import ProfilerActivity, profile

from runners import open_runners, parse_model

_LAYERS, _OUTPUT = "products with weights", "output layer"
_SOFTMAX = ("log_softmax", "logsumexp", "argmax", "max", "gather")
_ATTENTION = ("scaled_dot_product", "bmm", "matmul")
_WEIGHING = ("_softmax", "masked_fill_")
"""How the engine's own attention makes weights of scores; no layer of the model does these."""
_COPIES = ("copy_", "cat", "index_copy_", "fill_", "zero_", "index_select", "index", "index_put_")


@dataclass(slots=True)
class _Part:
    """Operations of one kind."""

    seconds: float = 0.0
    flops: float = 0.0


def main() -> None:
    """Profile the work that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="part of the names of the work to profile")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    setup = Setup(n_pairs=1, clock="cpu", device="cpu", n_threads=arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder))
        with closing(open_runners([parse_model(f"hf:{folder}?device=cpu")])) as runners:
            runner = next(runners)
            work = scoring_profiles(runner)
            if arguments.only in GENERATION:
                work |= generation_profile(runner)
            for name, run in work.items():
                if arguments.only in name:
                    _show(name, run, matmul_peak(setup) / 1e9)


def _show(name: str, run: Callable[[], Any], peak_gflops: float) -> None:
    run()  # the first time, memory is asked from the system and the model is tried
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True) as seen:
        run()
        total_s = time.perf_counter() - start
    parts: dict[str, _Part] = {}
    for event in seen.key_averages(group_by_input_shape=True):
        part = parts.setdefault(_kind(event.key, event.input_shapes), _Part())
        part.seconds += event.self_cpu_time_total / 1e6
        part.flops += event.flops
    known_s = sum(part.seconds for part in parts.values())
    parts["Python and the profiler"] = _Part(max(0.0, total_s - known_s))
    print(f"\n{name}: {total_s:.1f} s; best product {peak_gflops:.0f} GF/s")
    for kind, part in sorted(parts.items(), key=lambda item: -item[1].seconds):
        is_product = kind.startswith((_LAYERS, _OUTPUT))
        rate = f"{part.flops / part.seconds / 1e9:.0f} GF/s" if is_product else ""
        print(f"  {kind:32} {part.seconds:7.2f} s {part.seconds / total_s:6.1%}  {rate}")


def _extent(n_rows: int) -> str:
    return next((f"<= {most} rows" for most in (16, 32, 48, 64) if n_rows <= most), "more rows")


def _kind(operation: str, shapes: Sequence[Sequence[int]]) -> str:
    name = operation.removeprefix("aten::")
    if name in ("mm", "addmm"):
        n_rows, n_columns = shapes[-2][0], shapes[-1][-1]
        return _OUTPUT if n_columns == N_VOCABULARY else f"{_LAYERS}, {_extent(n_rows)}"
    if name in _WEIGHING:
        return "weights of attention"
    if any(name.lstrip("_").startswith(prefix) for prefix in _ATTENTION):
        return "products of attention"
    if name.lstrip("_") in _SOFTMAX:
        return "log-softmax, argmax"
    if name in _COPIES:
        return "copies"
    return "activations, norms, positions"


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
