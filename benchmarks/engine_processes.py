"""What shows only in processes of their own: the time to a first forward pass, and peak memory.

    python benchmarks/engine_processes.py --pairs 5 --json out/processes.json

Start-up: ``parity eval`` and ``lm_eval`` are started in turns on the same model and the same task
of 20 questions, with all files in the page cache, and end with the first forward pass of at least
32 tokens (shorter ones are trials of the model). Memory: the same requests on a base alone, and on
the base with four adapters in one go.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from engine_variants import make_adapters
from engine_workloads import SCORING, make_model

_MOST_STARTUP = 0.5
_MOST_MEMORY = 1.2
_FEWEST_TOKENS = 32

# Python runs this at its start: the model's class is wrapped as soon as it is imported.
_ENDS_WITH_A_FORWARD = f"""
import importlib.abc, importlib.util, os, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "transformers.models.llama.modeling_llama":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            forward = module.LlamaForCausalLM.forward
            def ending(self, input_ids=None, *args, **options):
                if input_ids.numel() >= {_FEWEST_TOKENS}:
                    os._exit(0)
                return forward(self, input_ids, *args, **options)
            ending.__wrapped__ = forward
            module.LlamaForCausalLM.forward = ending
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""

_PEAK = """
import json, resource, sys
from contextlib import closing
from engine_workloads import SCORING
from runners import open_runners, parse_model

requests = SCORING[0].make()
with closing(open_runners([parse_model(text) for text in sys.argv[1:]])) as runners:
    for runner in runners:
        for finished in runner.loglikelihood(requests):
            pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def main() -> None:
    """Measure both, print a table, and exit with 1 if one falls short."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model")
        startup = _startup(folder, n_pairs=arguments.pairs)
        memory = _memory(folder)
    figures = {"startup": startup, "memory": memory}
    print(
        f"to the first forward pass: {startup['ours_s']:.1f} s against {startup['theirs_s']:.1f} s,"
        f" {startup['ratio']:.2f} of it (at most {_MOST_STARTUP})"
    )
    print(
        f"peak memory of base and 4 adapters: {memory['variants'] / 2**20:.0f} MiB, "
        f"{memory['ratio']:.2f} of the base's {memory['base'] / 2**20:.0f} MiB and the adapters' "
        f"{memory['adapters'] / 2**20:.0f} MiB (at most {_MOST_MEMORY})"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), "utf-8")
    sys.exit(startup["ratio"] > _MOST_STARTUP or memory["ratio"] > _MOST_MEMORY)


def _startup(folder: Path, *, n_pairs: int) -> dict[str, float]:
    """Start both commands in turns."""
    sides = _commands(folder)
    (folder / "sitecustomize.py").write_text(_ENDS_WITH_A_FORWARD, "utf-8")
    environment = dict(os.environ) | {
        "PYTHONPATH": str(folder),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for pair in range(n_pairs + 1):  # the first one fills the page cache
        for side in list(sides) if pair % 2 else reversed(sides):
            taken = _timed(sides[side], environment)
            if pair:
                seconds[side].append(taken)
        print(f"  pair {pair}: {seconds}", file=sys.stderr)
    pairs = zip(seconds["ours"], seconds["theirs"], strict=True)
    return {
        "ours_s": statistics.median(seconds["ours"]),
        "theirs_s": statistics.median(seconds["theirs"]),
        "ratio": statistics.median(ours / theirs for ours, theirs in pairs),
    }


def _commands(folder: Path) -> dict[str, list[str]]:
    """Write the task for both tools, and return what starts them."""
    rows = [
        {"prompt": request.context, "choices": [request.continuation, " none of them"], "answer": 0}
        for request in SCORING[0].make()[::4][:20]
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    ours = {"name": "startup", "kind": "multiple_choice", "examples": "rows.jsonl"}
    (folder / "startup.yaml").write_text(yaml.safe_dump(ours), "utf-8")
    theirs = {
        "task": "startup",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "answer",
    }
    (folder / "harness").mkdir()
    (folder / "harness" / "startup.yaml").write_text(yaml.safe_dump(theirs), "utf-8")
    python, model = sys.executable, str(folder / "model")
    task = [str(folder / "startup.yaml"), "-w", str(folder / "out")]
    return {
        "ours": [python, "-m", "evalcore", "eval", "-m", f"hf:{model}", "-t", *task],
        "theirs": [
            *[python, "-m", "lm_eval", "run", "--model", "hf", "--tasks", "startup"],
            *["--model_args", f"pretrained={model},dtype=float32", "--device", "cpu"],
            *["--include_path", str(folder / "harness"), "--batch_size", "1"],
        ],
    }


def _timed(command: Sequence[str], environment: Mapping[str, str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(
        command, env=dict(environment), check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return time.perf_counter() - start


def _memory(folder: Path) -> dict[str, float]:
    adapters = make_adapters(folder / "model")
    base = f"hf:{folder / 'model'}"
    alone = _peak([base])
    together = _peak([base, *(f"{base}+lora:{adapter}" for adapter in adapters)])
    sizes = sum(file.stat().st_size for path in adapters for file in path.glob("*.safetensors"))
    return {
        "base": alone,
        "adapters": sizes,
        "variants": together,
        "ratio": together / (alone + sizes),
    }


def _peak(models: Sequence[str]) -> int:
    environment = dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", _PEAK, *models]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
