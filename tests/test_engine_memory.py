import ctypes
import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
import transformers

from evalcore.errors import InputError
from evalcore.evaluate import task_work
from evalcore.protocols import Loglikelihood
from evalcore.store import open_store
from evalcore.tasks import load_task
from runners import RunnerOptions
from runners.engine.memory import Governor, free_bytes, is_out_of_memory
from runners.engine.planning import Sizes, plan_chunks
from runners.engine.scoring import TreeScorer
from runners.hf.scoring import Span, score_spans
from runners.options import parse_bytes

WORK = [
    [Span(inputs=[*range(5, 25), d, d, d, c], targets=[d, d, c, 3])]
    for d in range(30, 36)
    for c in range(4)
]
SIZES = Sizes(block_tokens=4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,
    )
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def governor(**changes) -> Governor:
    settings = {"row_bytes": 10, "scored_bytes": 100, "path_bytes": 1, "item_bytes": 1}
    return Governor(**settings | {"budget_bytes": 10_000, "max_rows": 64} | changes)


def score(model, limits):
    (chunk,) = plan_chunks(WORK, SIZES)
    return dict(TreeScorer(model, limits, SIZES).score(chunk).results)


def naive(model):
    return [score_spans(model, [span])[0].logprob for (span,) in WORK]


@pytest.mark.parametrize("budget_bytes", [1, 20_000, 50_000, 10**9])
def test_scores_do_not_depend_on_the_budget(model, budget_bytes):
    results = score(model, Governor.of(model, budget_bytes=budget_bytes, max_rows=512))
    assert [results[at].logprob for at in range(len(WORK))] == pytest.approx(naive(model), abs=1e-4)


def test_small_budget_makes_small_passes(model, monkeypatch):
    sizes = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **k: sizes.append(k["input_ids"].shape[1]) or forward(**k)
    )
    score(model, governor(row_bytes=100, budget_bytes=1500))
    assert max(sizes) <= 15


def failing(model, monkeypatch, error, most_rows):
    """Let a model run out of memory on more rows than these; returns the rows of each pass."""
    sizes = []
    forward = model.forward

    def limited(**arguments):
        sizes.append(arguments["input_ids"].shape[1])
        if sizes[-1] > most_rows:
            raise error
        return forward(**arguments)

    monkeypatch.setattr(model, "forward", limited)
    return sizes


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_halves_what_is_run_together(model, monkeypatch, error):
    wanted = naive(model)
    sizes = failing(model, monkeypatch, error, most_rows=10)
    results = score(model, Governor.of(model, budget_bytes=2**40, max_rows=64))
    assert [results[at].logprob for at in range(len(WORK))] == pytest.approx(wanted, abs=1e-4)
    assert max(sizes[-3:]) <= 10


@contextmanager
def tight_layers(most_rows):
    """Let every layer of every model run out of memory on more rows than these."""
    failed = []

    def check(module, inputs):
        if type(module).__name__.endswith("DecoderLayer") and inputs[0].shape[-2] > most_rows:
            failed.append(inputs[0].shape[-2])
            raise torch.OutOfMemoryError("no room")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(check)
    yield failed
    hook.remove()


@pytest.mark.parametrize("task", ["tiny-choice", "tiny-text", "tiny-instructions"])
def test_evaluation_goes_on_when_a_layer_runs_out_of_memory(parity, tmp_path, task):
    def answers(folder):
        asked = ("-m", "zoo:tiny", "-t", task, "-L", 12)
        code, printed, told = parity("eval", *asked, "-w", folder, "--json")
        assert code == 0, told
        (run,) = json.loads(printed)["runs"]
        return [e["value"] for e in run["estimates"].values()], responses(folder)

    wanted_values, wanted = answers(tmp_path / "plenty")
    with tight_layers(40) as failed:
        values, found = answers(tmp_path / "tight")
    assert len(failed) > 1
    assert values == pytest.approx(wanted_values, abs=1e-6)
    assert found.keys() == wanted.keys()
    for key, response in found.items():
        if isinstance(response, Loglikelihood):
            assert response.logprob == pytest.approx(wanted[key].logprob, abs=1e-4)
        else:
            assert response.text == wanted[key].text


def responses(workspace):
    """Return all that is stored of the only model's answers, by request."""
    with open_store(workspace, None) as store:
        (run,) = store.runs()
        jobs = task_work(load_task(run.task, limit=12)).jobs
        return store.responses(run.spec.fingerprint, [job.key for job in jobs])


def test_single_row_that_does_not_fit_is_an_error(model, monkeypatch):
    failing(model, monkeypatch, torch.OutOfMemoryError("no room"), most_rows=0)
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        score(model, Governor.of(model, budget_bytes=2**40, max_rows=64))


def test_other_errors_are_not_taken_for_memory(model, monkeypatch):
    failing(model, monkeypatch, RuntimeError("shapes do not fit"), most_rows=0)
    with pytest.raises(RuntimeError, match="shapes"):
        score(model, Governor.of(model, budget_bytes=2**40, max_rows=64))
    assert not is_out_of_memory(ValueError("can't allocate memory"))


@pytest.mark.parametrize(
    "words",
    [
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 8 bytes",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "std::bad_alloc",
    ],
)
def test_each_way_to_say_that_memory_ran_out_is_known(words):
    assert is_out_of_memory(RuntimeError(words))


def test_room_counts_activations_logits_masks_and_keys():
    limits = governor(budget_bytes=2 * (10 + 7) + 100 + 7)
    assert limits.room_for(2, n_scored=1, depth=7)
    assert not limits.room_for(2, n_scored=2, depth=7)
    assert not limits.room_for(2, n_scored=1, depth=8)
    assert not governor(max_rows=2).room_for(3, n_scored=0, depth=0)


def test_halving_ends_at_one_row():
    limits = governor(max_rows=5)
    assert [limits.segment_rows, limits.halve(), limits.segment_rows] == [5, True, 2]
    assert [limits.halve(), limits.segment_rows, limits.halve()] == [True, 1, False]


# How much the process holds after 256 MiB were used and freed, in MiB more than before.
HELD = """
import resource, torch
from runners.engine.memory import give_back_freed_memory, keep_freed_memory

def n_held():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize() // 2**20

torch.ones(2**26)
before = n_held()
torch.ones(2**26)
left = n_held()
keep_freed_memory()
torch.ones(2**26)
kept = n_held()
give_back_freed_memory()
print(left - before, kept - before, n_held() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_freed_memory_is_kept_until_it_is_given_back():
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    left, kept, given_back = map(int, done.stdout.split())
    assert kept > 200
    assert max(left, given_back) < 56


def test_free_memory_is_less_than_the_machine_has():
    assert 0 < free_bytes(torch.device("cpu")) < 2**50


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("4GiB", 2**32), ("4G", 2**32), ("4GB", 4 * 10**9), (" 1.5 kB ", 1500), ("12", 12)],
)
def test_amount_of_memory_is_read(text, n_bytes):
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1", "4 GiBs", "0", "four"])
def test_odd_amount_of_memory_is_refused(text):
    with pytest.raises(InputError, match="memory must be an amount"):
        parse_bytes(text)


@pytest.mark.parametrize("wrong", [{"memory_bytes": 0}, {"engine": "fast"}])
def test_odd_options_are_refused(wrong):
    with pytest.raises(InputError, match="must be"):
        RunnerOptions(**wrong)
