"""The engine against lm-evaluation-harness: speed at equal results, and the fraction of the limit.

    make bench-engine
    python benchmarks/engine.py --pairs 5 --threads 1 --only rolling --json out/engine.json

Both sides load the same model, 32 M random weights of LLaMA's architecture in float32, and answer
the same requests in turns, each in a process of its own. Without lm-evaluation-harness nothing can
be compared:

    pip install lm_eval==0.4.13

Five pairs of everything on one idle core take about 25 minutes, most of them the other side's.
``--share 0.3`` scores the first third of the documents only; tokens asked and distinct are printed
beside, since a beginning that fewer documents share saves less.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch
from engine_generation import generation_contests
from engine_harness import started
from engine_measure import Contest, Setup, compare, report
from engine_place import Place
from engine_scoring import scoring_contests
from engine_variants import variant_contests
from engine_workloads import make_model

from evalcore.protocols import Runner
from runners import open_runners, parse_model

# What makes contests by their names, told a runner of ours and where the other side is.
MAKERS: tuple[Callable[[Runner, Place], dict[str, Callable[[], Contest]]], ...] = (
    scoring_contests,
    variant_contests,
    generation_contests,
)


def main() -> None:
    """Run the contests that are asked for; exit with 1 if one falls short."""
    arguments = _arguments()
    if importlib.util.find_spec("lm_eval") is None:
        sys.exit("lm-evaluation-harness is not installed: pip install lm_eval==0.4.13")
    torch.set_num_threads(arguments.threads)
    setup = Setup(
        n_pairs=arguments.pairs,
        clock=arguments.clock,
        device=arguments.device,
        n_threads=arguments.threads,
    )
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder))
        spec = parse_model(f"hf:{folder}?device={setup.device}")
        with (
            started(Path(folder), setup) as harness,
            closing(open_runners([spec])) as runners,
        ):
            runner = next(runners)
            place = Place(Path(folder), setup, harness, arguments.share)
            outcomes = [
                compare(make(), setup)
                for makers in MAKERS
                for name, make in makers(runner, place).items()
                if arguments.only in name
            ]
    figures = report(outcomes, setup)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), "utf-8")
    sys.exit(0 if all(outcome.passes for outcome in outcomes) else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="part of the names of the contests to run")
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="of the documents to score; fewer share less, so that ratios fall",
    )
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
