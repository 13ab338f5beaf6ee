"""Adapters beside their layer, or added to its weights anew in each pass: which costs less.

    python benchmarks/lora.py --pairs 7

Both sides compute what a linear layer and its adapters give for the rows of one pass, in float32
and in turns. Beside the layer is x·Wᵀ + Σ sᵢ·(x·Aᵢᵀ)·Bᵢᵀ by peft's own. Merged on the fly is one
product with W + Σ sᵢ·Bᵢ·Aᵢ, which is made for the pass and dropped after it;
:mod:`runners.hf.long_passes` chooses. Layers are those of ``benchmarks/engine.py``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import product

import torch
from peft.tuners.lora import Linear, LoraConfig

from runners.engine.memory import keep_freed_memory
from runners.hf.long_passes import in_one_product

_LAYERS = {"attention": (512, 512), "up": (512, 1408), "down": (1408, 512)}
"""Width of what goes in and of what comes out."""
_ROWS = (32, 256, 1024, 2048)
_RANKS = (8, 16, 64)
_STACKS = (1, 3)
_ROWS_PER_TURN = 4096
"""Small passes are repeated, so that a turn is long against the clock's step."""


def main() -> None:
    """Print the ratio of both sides for each layer, size of a pass, rank and number of adapters."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    print(f"{arguments.pairs} pairs, {arguments.threads} threads, CPU time; over 1.00 merging wins")
    print(f"{'layer':>10} {'rank':>5} {'adapters':>8}" + "".join(f"{n:>19} rows" for n in _ROWS))
    with torch.inference_mode():
        for (name, sizes), rank, n_adapters in product(_LAYERS.items(), _RANKS, _STACKS):
            layer = _layer(*sizes, rank=rank, n_adapters=n_adapters)
            cells = [_cell(list(_ratios(layer, n, arguments.pairs))) for n in _ROWS]
            print(f"{name:>10} {rank:5} {n_adapters:8}" + "".join(f"{c:>24}" for c in cells))


def _layer(n_in: int, n_out: int, *, rank: int, n_adapters: int) -> Linear:
    """Make peft's layer with random adapters, all active."""
    torch.manual_seed(0)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, init_lora_weights=False)
    base = torch.nn.Linear(n_in, n_out, bias=False)
    layer = Linear(base, "0", config=config, r=rank, lora_alpha=2 * rank)
    for number in range(1, n_adapters):
        layer.update_layer(str(number), rank, 2 * rank, config=config)
    layer.set_adapter([str(number) for number in range(n_adapters)], inference_mode=True)
    return layer.eval()


def _merged(layer: Linear, x: torch.Tensor) -> torch.Tensor:
    return in_one_product(layer, x, layer.active_adapters)


def _ratios(layer: Linear, n_rows: int, n_pairs: int) -> Iterator[float]:
    """Yield seconds beside the layer by seconds merged, after one pair to warm up."""
    x = torch.randn(n_rows, layer.in_features)
    torch.testing.assert_close(_merged(layer, x), layer(x), rtol=1e-4, atol=1e-4)
    for pair in range(n_pairs + 1):
        sides: list[Callable[[], object]] = [lambda: layer(x), lambda: _merged(layer, x)]
        order = (0, 1) if pair % 2 == 0 else (1, 0)
        seconds = {side: _seconds(sides[side], _ROWS_PER_TURN // n_rows) for side in order}
        if pair:
            yield seconds[0] / seconds[1]


def _seconds(run: Callable[[], object], n_times: int) -> float:
    start = time.process_time()
    for _ in range(n_times):
        run()
    return time.process_time() - start


def _cell(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
