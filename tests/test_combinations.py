"""Adapters put together by peft's methods, against peft itself."""

import pytest

from evalcore.codec import jsonable, spec_from
from evalcore.errors import ModelError
from evalcore.protocols import LoglikelihoodRequest
from runners import open_runners, parse_model, resolve

PAIRS = [
    ("The quick brown", " fox jumps over the lazy dog"),
    ("What is 12 + 30?", " The answer is 42."),
    ("", "Good morning"),
]
REQUESTS = [LoglikelihoodRequest(context=a, continuation=b) for a, b in PAIRS]
OF_ONE_RANK = ["linear", "ties&density=0.4", "magnitude_prune&density=0.4"]
OF_ANY_RANK = ["cat", "svd", "svd&rank=3", "ties_svd&density=0.5", "magnitude_prune_svd&density=1"]


@pytest.fixture(scope="module")
def third(llama, new_adapter):
    """An adapter of the rank of "first" on some of its modules and others."""
    modules = ["v_proj", "down_proj"]
    return new_adapter(llama.folder, modules=modules, name="third", r=4, lora_alpha=2)


def string(model, how: str, *adapters, weights=(1, -0.5)) -> str:
    stack = "".join(f"+lora:{a}*{w}" for a, w in zip(adapters, weights, strict=False))
    return f"hf:{model.folder}{f'?combine={how}' if how else ''}{stack}"


def logprobs(runner, collect):
    return [result.logprob for result in collect(runner.loglikelihood(REQUESTS))]


def by_peft(model, plain, how: str, *adapters, weights=(1, -0.5)):
    """The same by peft's own add_weighted_adapter."""
    from peft import PeftModel

    base, tokenizer = plain.load(model.folder)
    adapted = PeftModel.from_pretrained(base, adapters[0], adapter_name="a0")
    for place, folder in enumerate(adapters[1:], 1):
        adapted.load_adapter(folder, adapter_name=f"a{place}")
    method, *settings = how.split("&")
    said = dict(setting.split("=") for setting in settings)
    options = {"density": float(said["density"])} if "density" in said else {}
    options |= {"svd_rank": int(said["rank"])} if "rank" in said else {}
    names = [f"a{place}" for place in range(len(adapters))]
    adapted.add_weighted_adapter(names, list(weights), "both", combination_type=method, **options)
    adapted.set_adapter("both")
    return [plain.loglikelihood(adapted.base_model.model, tokenizer, *pair)[0] for pair in PAIRS]


@pytest.mark.filterwarnings("ignore:The density 1")
@pytest.mark.parametrize("how", OF_ONE_RANK + OF_ANY_RANK)
def test_combination_equals_that_of_peft(llama, third, run_model, collect, plain, how):
    other = third if how in OF_ONE_RANK else llama.adapters["second"]
    adapters = [llama.adapters["first"], other]
    found = logprobs(run_model(string(llama, how, *adapters)), collect)
    assert found == pytest.approx(by_peft(llama, plain, how, *adapters), abs=2e-4)
    exact = logprobs(run_model(string(llama, "", *adapters)), collect)
    away = max(abs(a - b) for a, b in zip(found, exact, strict=True))
    assert away < 2e-4 if how == "cat" else away > 0.05


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties", "dare_linear_svd", "dare_ties_svd"])
def test_what_is_dropped_at_random_follows_from_the_seed(llama, third, collect, method):
    adapters = [llama.adapters["first"], third]
    asked = [string(llama, f"{method}&density=0.5&seed={seed}", *adapters) for seed in (0, 1, 0)]
    found = [logprobs(r, collect) for r in open_runners([parse_model(text) for text in asked])]
    (again,) = (logprobs(r, collect) for r in open_runners([parse_model(asked[0])]))
    assert found[0] == found[2] == again
    assert found[0] != found[1]


def test_dare_drops_a_share_and_keeps_the_mean():
    import torch

    from evalcore.records import Combination
    from runners.hf.combining import Factors, combined

    update = {"layer": Factors(up=torch.eye(40), down=torch.ones(40, 50))}
    state = torch.get_rng_state()
    found = [
        combined([update], Combination(method="dare_linear", density=0.25, seed=seed))["layer"].down
        for seed in range(20)
    ]
    assert torch.equal(state, torch.get_rng_state())
    values = torch.stack(found)
    assert set(values.unique().tolist()) == {0.0, 4.0}
    assert values.mean().item() == pytest.approx(1.0, abs=0.05)


def test_switching_between_combinations_restores_the_base(llama, third, collect):
    adapters = [llama.adapters["first"], third]
    hows = ["ties&density=0.4", "", "linear", "ties&density=0.4"]
    strings = [f"hf:{llama.folder}", *(string(llama, how, *adapters) for how in hows)]
    specs = [parse_model(text) for text in (*strings, f"hf:{llama.folder}")]
    found = [logprobs(runner, collect) for runner in open_runners(specs)]
    assert found[0] == found[-1]
    assert found[1] == found[4]
    assert len({tuple(some) for some in found}) == 4


def test_combination_is_part_of_name_and_identity(llama, third):
    adapters = [llama.adapters["first"], third]
    hows = ["", "linear", "ties&density=0.5", "ties&density=0.25", "dare_ties&density=0.5&seed=3"]
    specs = [resolve(parse_model(string(llama, how, *adapters))) for how in hows]
    assert len({spec.fingerprint for spec in specs}) == len(hows)
    said = [spec.name.partition(" (")[2] for spec in specs]
    assert said == ["", "linear)", "ties 0.5)", "ties 0.25)", "dare_ties 0.5, seed 3)"]
    assert spec_from(jsonable(specs[4])) == specs[4]
    assert len({spec.base.fingerprint for spec in specs}) == 1


def test_combination_comes_back_from_its_model_string(llama, third):
    from leaderboards.variants import model_string

    spec = resolve(parse_model(string(llama, "ties_svd&density=0.5&rank=3", third)))
    assert resolve(parse_model(model_string(spec))).fingerprint == spec.fingerprint


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nonsense", "combine must be one of merge, cat, linear, svd"),
        ("ties", "combine=ties needs density="),
        ("ties&density=0", "density must be in (0, 1]; got '0'"),
        ("ties&density=x", "density must be in (0, 1]; got 'x'"),
        ("linear&density=0.5", "combine=linear takes no density"),
        ("ties&density=0.5&seed=1", "combine=ties takes no seed"),
        ("ties&density=0.5&rank=1", "combine=ties takes no rank"),
        ("svd&rank=0", "rank must be a whole number from 1; got '0'"),
    ],
)
def test_settings_of_combinations_are_checked(llama, how, message):
    with pytest.raises(ModelError) as caught:
        parse_model(string(llama, how, llama.adapters["first"]))
    assert message in str(caught.value)


def test_combination_needs_adapters_and_a_method(llama):
    with pytest.raises(ModelError, match="combine=svd needs adapters"):
        resolve(parse_model(f"hf:{llama.folder}?combine=svd"))
    with pytest.raises(ModelError, match="density goes with combine=METHOD"):
        parse_model(f"hf:{llama.folder}?density=0.5")
    with pytest.raises(ModelError, match="combine"):
        parse_model("openai:x@http://localhost?combine=svd")


def test_matrices_of_several_ranks_name_a_method_that_takes_them(llama):
    spec = parse_model(string(llama, "linear", *llama.adapters.values()))
    with pytest.raises(ModelError, match=r"of one rank; got 2, 4 for .*combine=svd"):
        next(open_runners([spec]))


def test_stack_lab_takes_a_combination_apart(parity, tmp_path):
    math, style = (f"+lora:zoo:tiny-{name}" for name in ("math", "style"))
    command = ["stack", "zoo:tiny?combine=svd", math, style, "-t", "tiny-arithmetic", "-L", 3]
    code, printed, _ = parity(*command, "-w", tmp_path)
    assert code == 0
    assert printed.startswith("tiny+math+style (svd), tiny-arithmetic: math ")
