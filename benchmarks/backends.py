"""llama.cpp against transformers, against itself, and one load against nine.

    make bench-backends
    python benchmarks/backends.py --pairs 3 --threads 1 2 --json out/backends.json

A random LLaMA of 120 M parameters (8 layers of 1,024) is written as a folder of transformers and
converted to Q4_K_M. Sides are measured in turns, wall-clock time, and the median of the pairs'
ratios is reported:

- decoding: answers of 64 tokens by the runner, against transformers in float32 (runner ``hf:``),
  and against a bare loop of ``llama_decode`` on the same file that takes each likeliest token
  (llama-bench is not part of llama-cpp-python; this is what it does);
- scoring: multiple-choice questions of four answers with three worked examples in front, against
  lm-evaluation-harness's ``gguf`` model, which asks a server question by question (for a model
  without a first-token mark, as this one, that server reads each token's logits one row late: the
  difference says so);
- variants: the base and eight adapters of rank 16 in one process, against the time of nine scoring
  runs of the base alone; loads are counted, and memory is the most that the process had while it
  worked, less what it had before.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine_workloads import N_VOCABULARY, make_tokenizer

from evalcore.protocols import Finished, GenerateRequest, LoglikelihoodRequest, Runner
from evalcore.records import SamplingParams
from runners import open_runners, parse_model
from runners.engine.memory import give_back_freed_memory
from runners.gguf import resident
from runners.gguf.convert import convert

N_NEW = 64
N_ADAPTERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A ratio and what it has to be."""

    name: str
    n_threads: int
    pairs: list[float]
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""
    ratio: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", statistics.median(self.pairs))

    @property
    def passes(self) -> bool:
        """Whether it is on the right side."""
        return (self.at_least is None or self.ratio >= self.at_least) and (
            self.at_most is None or self.ratio <= self.at_most
        )


def main() -> None:
    """Measure; exit with 1 if something falls short."""
    arguments = _arguments()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as place:
        folder, file = Path(place) / "model", Path(place) / "model.gguf"
        make_model(folder)
        convert(parse_model(f"hf:{folder}"), file, "Q4_K_M")
        for n_threads in arguments.threads:
            torch.set_num_threads(n_threads)
            with closing(Models()) as models:
                found = decoding(models, folder, file, n_threads=n_threads, n_pairs=arguments.pairs)
            figures += shown(found)
        with closing(Models()) as models:
            figures += shown(harness(models, file, n_threads=1, n_pairs=min(arguments.pairs, 2)))
        adapters = make_adapters(folder, Path(place))
        # No model of transformers is open any more: while one is, what others free is kept.
        with closing(Models()) as models:
            figures += shown(variants(models, file, adapters, n_pairs=arguments.pairs))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in figures], indent=1), "utf-8")
    sys.exit(0 if all(one.passes for one in figures) else 1)


def shown(figures: list[Figure]) -> list[Figure]:
    """Print a line for each figure as soon as it is there."""
    for one in figures:
        wanted = f"≥ {one.at_least}" if one.at_least is not None else f"≤ {one.at_most}"
        verdict = "reached" if one.passes else "missed"
        spread = f"{min(one.pairs):.2f}-{max(one.pairs):.2f}"
        print(
            f"{one.name:58} {one.n_threads} thread(s)  {one.ratio:6.2f} ({spread})  {wanted}  "
            f"{verdict}  {one.note}",
            flush=True,
        )
    return figures


def decoding(
    models: Models, folder: Path, file: Path, *, n_threads: int, n_pairs: int
) -> list[Figure]:
    """Compare tokens a second of one answer at a time."""
    against_hf: list[float] = []
    against_itself: list[float] = []
    speeds: list[float] = []
    limits: list[float] = []
    ours = models.runner(f"gguf:{file}?n_threads={n_threads}")
    theirs = models.runner(f"hf:{folder}?dtype=fp32")
    bare = BareLoop(file, n_threads=n_threads)
    decode(ours), decode(theirs), bare.seconds()
    for pair in range(n_pairs):
        sides: list[Callable[[], float]] = [
            lambda: decode(ours),
            lambda: decode(theirs),
            bare.seconds,
        ]
        taken = {at: sides[at]() for at in ((0, 1, 2), (2, 0, 1), (1, 2, 0))[pair % 3]}
        against_hf.append(taken[1] / taken[0])
        against_itself.append(taken[2] / taken[0])
        speeds.append(N_NEW / taken[0])
        limits.append(taken[1] / taken[2])
    bare.close()
    bound = statistics.median(limits)
    note = f"{statistics.median(speeds):.0f} tokens/s; the bare loop {bound:.1f} times transformers"
    return [
        Figure(
            name="decoding Q4_K_M against transformers fp32",
            n_threads=n_threads,
            pairs=against_hf,
            at_least=6.0,
            note=note,
        ),
        Figure(
            name="decoding Q4_K_M against a bare loop of llama_decode",
            n_threads=n_threads,
            pairs=against_itself,
            at_least=0.9,
        ),
    ]


def decode(runner: Runner) -> float:
    """Return the seconds of decoding, without reading the prompt."""
    params = SamplingParams(max_new_tokens=N_NEW)
    gc.collect()
    (finished,) = runner.generate([GenerateRequest(prompt="a b c d", params=params)])
    ((_, answer),) = finished.results
    if answer.completion_tokens != N_NEW:
        sys.exit(f"an answer ended after {answer.completion_tokens} tokens")
    return finished.efficiency.decode_s * N_NEW / (N_NEW - 1)


class BareLoop:
    """llama_decode, one token after the other, and nothing else."""

    def __init__(self, file: Path, *, n_threads: int) -> None:
        from runners.gguf.library import library, model_parameters

        self.lib = library()
        self.model = self.lib.llama_model_load_from_file(str(file).encode(), model_parameters())
        parameters = self.lib.llama_context_default_params()
        parameters.n_ctx = 256
        parameters.n_threads = parameters.n_threads_batch = n_threads
        parameters.no_perf = True
        self.context = self.lib.llama_init_from_model(self.model, parameters)

    def seconds(self) -> float:
        """Decode as many tokens as an answer has."""
        gc.collect()
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), False)
        token = (ctypes.c_int32 * 1)(5)
        start = time.perf_counter()
        for _ in range(N_NEW):
            batch = self.lib.llama_batch_get_one(token, 1)
            if self.lib.llama_decode(self.context, batch) != 0:
                sys.exit("llama_decode failed")
            logits = self.lib.llama_get_logits(self.context)
            token[0] = int(np.ctypeslib.as_array(logits, shape=(N_VOCABULARY,)).argmax())
        return time.perf_counter() - start

    def close(self) -> None:
        """Give back the memory."""
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)


def variants(models: Models, file: Path, adapters: list[Path], *, n_pairs: int) -> list[Figure]:
    """Compare the base and its adapters in one process with as many runs of the base."""
    base = f"gguf:{file}?n_threads=1"
    specs = [parse_model(base), *(parse_model(f"{base}+lora:{path}") for path in adapters)]
    requests = questions()
    n_loads = 0
    load = resident.GgufResident._load

    def counted(self: Any) -> Any:
        nonlocal n_loads
        n_loads += 1
        return load(self)

    resident.GgufResident._load = counted  # type: ignore[method-assign]
    ratios, memory = [], []
    forward = models.runner(base)
    collect(forward.loglikelihood(requests))
    # What the first adapter imports belongs to the process, not to the models.
    for runner in open_runners(specs[1:2]):
        collect(runner.loglikelihood(requests))
    give_back_freed_memory()
    alone = memory_bytes("VmRSS")
    for _ in range(n_pairs):
        # The workload alone, as often as there are variants, on a model that is loaded already.
        single = sum(seconds(lambda: collect(forward.loglikelihood(requests))) for _ in specs)
        n_loads = 0
        forget_peak()
        start = time.perf_counter()
        for runner in open_runners(specs):
            collect(runner.loglikelihood(requests))
        ratios.append((time.perf_counter() - start) / single)
        memory.append(memory_bytes("VmHWM") - alone)
    on_disk = file.stat().st_size + sum(size_of(path) for path in adapters)
    if n_loads != 1:
        sys.exit(f"the base was loaded {n_loads} times")
    return [
        Figure(
            name=f"base + {N_ADAPTERS} adapters against {len(specs)} runs of the base, one load",
            n_threads=1,
            pairs=ratios,
            at_most=1.1,
        ),
        Figure(
            name="memory of base + adapters against their size on disk",
            n_threads=1,
            pairs=[max(memory) / on_disk],
            at_most=1.2,
            note=f"{max(memory) / 2**20:.0f} MiB of {on_disk / 2**20:.0f} MiB",
        ),
    ]


def questions() -> list[LoglikelihoodRequest]:
    """Return multiple-choice questions with worked examples in front."""
    shots = "".join(f"Question: word{n} and word{n + 1}? Answer: {n}\n" for n in range(3))
    return [
        LoglikelihoodRequest(
            context=f"{shots}Question: what comes after {n} in the list of all things? Answer:",
            continuation=f" {answer} of them",
        )
        for n in range(10)
        for answer in ("one", "two", "three", n)
    ]


def harness(models: Models, file: Path, *, n_threads: int, n_pairs: int) -> list[Figure]:
    """Compare scoring with lm-evaluation-harness's gguf model, on a part of the questions."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.gguf import GGUFLM

    requests = questions()[:24]
    instances = [
        Instance(
            request_type="loglikelihood",
            doc={},
            arguments=(one.context, one.continuation),
            idx=place,
        )
        for place, one in enumerate(requests)
    ]
    ours = models.runner(f"gguf:{file}?n_threads={n_threads}")
    ratios, differences = [], []
    with served(file, n_threads=n_threads) as url:
        theirs = GGUFLM(base_url=url)
        for _ in range(n_pairs):
            start = time.perf_counter()
            scored = theirs.loglikelihood(instances, disable_tqdm=True)
            theirs_s = time.perf_counter() - start
            start = time.perf_counter()
            pairs = [pair for part in ours.loglikelihood(requests) for pair in part.results]
            ratios.append(theirs_s / (time.perf_counter() - start))
            by_place = dict(pairs)
            differences += [abs(by_place[n].logprob - one[0]) for n, one in enumerate(scored)]
    return [
        Figure(
            name="scoring against lm-evaluation-harness's gguf model",
            n_threads=n_threads,
            pairs=ratios,
            at_least=3.0,
            note=f"largest difference {max(differences):.2g} nats: the server reads a row late",
        )
    ]


@contextmanager
def served(file: Path, *, n_threads: int) -> Iterator[str]:
    """Serve completions as llama_cpp.server does, by the same class, over plain HTTP.

    The server itself needs packages that llama-cpp-python doesn't install; what it does with such a
    request is to call ``Llama.create_completion`` with it.
    """
    from http.server import BaseHTTPRequestHandler, HTTPServer

    import llama_cpp.llama as high_level
    from llama_cpp import Llama

    from runners.gguf.library import model_parameters

    # As the runner loads it: elsewhere its defaults end the process where there is AMX.
    settled = model_parameters()
    high_level.llama_cpp.llama_model_default_params = lambda: settled
    model = Llama(
        str(file),
        n_ctx=1024,
        n_threads=n_threads,
        n_threads_batch=n_threads,
        logits_all=True,
        verbose=False,
    )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(model.create_completion(**asked), default=float).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        model.close()


class Models:
    """Models that stay open until all is measured."""

    def __init__(self) -> None:
        self._open: list[Generator[Runner, None, None]] = []

    def runner(self, text: str) -> Runner:
        """Open a model."""
        runners = open_runners([parse_model(text)])
        self._open.append(runners)
        return next(runners)

    def close(self) -> None:
        """Close all."""
        for runners in self._open:
            runners.close()


def collect(finished: Iterable[Finished[Any]]) -> int:
    """Take all results; return how many there are."""
    return sum(len(part.results) for part in finished)


def seconds(work: Callable[[], object]) -> float:
    """Time some work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory_bytes(kind: str) -> int:
    """Return the process's memory, as it is (VmRSS) or the most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    (found,) = (line for line in lines if line.startswith(f"{kind}:"))
    return int(found.split()[1]) * 1024


def forget_peak() -> None:
    """Begin to look anew for the most memory."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def size_of(folder: Path) -> int:
    """Return the size of an adapter's weights."""
    return (folder / "adapter_model.safetensors").stat().st_size


def make_model(folder: Path) -> None:
    """Write a LLaMA with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    make_tokenizer(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=N_VOCABULARY,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=8,
        num_attention_heads=16,
        num_key_value_heads=8,
        max_position_embeddings=1024,
        initializer_range=0.05,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def make_adapters(base: Path, place: Path) -> list[Path]:
    """Write adapters of rank 16 on queries and values with random matrices."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    wanted = LoraConfig(r=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), wanted)
    folders = [place / f"adapter{n}" for n in range(N_ADAPTERS)]
    for folder in folders:
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        model.save_pretrained(folder)
    return folders


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
