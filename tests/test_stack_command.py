"""``parity stack`` on the bundled family, and the adapters' updates against whole matrices."""

import json
import math

import pytest

from evalcore.records import Adapter
from runners.hf import resident
from runners.stacks import parse_stack

INSTRUCT, MATH, STYLE = (f"+lora:zoo:tiny-{name}" for name in ("instruct", "math", "style"))


def test_command_takes_a_stack_apart_with_one_load_and_resumes(parity, tmp_path, monkeypatch):
    loaded = []
    load = resident.load_base
    monkeypatch.setattr(resident, "load_base", lambda spec: loaded.append(spec) or load(spec))
    command = ["stack", "zoo:tiny", INSTRUCT, MATH, STYLE, "-t", "tiny-arithmetic", "-L", 6]
    command += ["-w", tmp_path / "out", "--weights", "0.5,1", "-o", tmp_path / "stack.html"]
    code, printed, _ = parity(*command, "--json")
    told = json.loads(printed)
    assert code == 0
    assert len(loaded) == 1
    assert told["stack"]["adapters"] == ["instruct", "math", "style"]
    assert len(told["stack"]["variants"]) >= 8 + 3
    (task,) = told["stack"]["tasks"]
    shares = [found["estimate"]["value"] for found in task["shapley"]]
    assert sum(shares) == pytest.approx(task["gain"]["estimate"]["value"])
    assert "<svg" in (tmp_path / "stack.html").read_text()

    code, printed, _ = parity(*command)
    assert code == 0
    assert len(loaded) == 1
    assert printed.startswith("tiny+instruct+math+style, tiny-arithmetic: instruct adds")
    assert "Changes of the base's weights" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zoo:tiny", MATH], "--task must be given at least once"),
        (["zoo:tiny", "-t", "tiny-text"], "a stack needs adapters"),
        (["zoo:tiny", MATH, MATH, "-t", "tiny-text"], "is in the stack twice"),
        (["zoo:tiny", "zoo:tiny-math", "-t", "tiny-text"], "an adapter must be [NAME=]+lora:"),
        (["zoo:tiny", f"={MATH}", "-t", "tiny-text"], "an adapter must be [NAME=]+lora:"),
        (["zoo:tiny", MATH, "-t", "nonsense"], "task must be"),
        (["zoo:tiny", MATH, "-t", "tiny-text", "--weights", "1,x"], "--weights must be numbers"),
        (["zoo:tiny", MATH, "-t", "tiny-text", "--weights", "nan"], "--weights must be numbers"),
        (["zoo:tiny", MATH, "-t", "tiny-text", "--margin", "0"], "--margin must be above 0"),
        (["zoo:tiny", MATH, "-t", "tiny-text", "--orders", "5"], "--orders must be even"),
        (["zoo:tiny", f"{MATH}{STYLE}", "-t", "tiny-text"], "an argument of its own"),
    ],
)
def test_bad_input_is_one_line(parity, tmp_path, arguments, message):
    code, printed, errors = parity("stack", *arguments, "-w", tmp_path / "out")
    assert (code, printed) == (2, "")
    assert errors.count("\n") == 1
    assert message in errors


def test_adapter_of_another_base_is_one_line(parity, tmp_path, tiny_models):
    foreign = f"+lora:{tiny_models['neox'].adapters['first']}"
    model = f"hf:{tiny_models['llama'].folder}"
    code, _, errors = parity("stack", model, foreign, "-t", "tiny-text", "-w", tmp_path / "out")
    assert code == 2
    assert errors.count("\n") == 1
    assert "adapter was made for another base" in errors


@pytest.mark.parametrize(
    ("model", "whole", "one"),
    [
        ("zoo:tiny", "tiny+instruct+math*0.5", "tiny+math*0.5"),
        ("zoo:tiny?quant=nf4", "tiny+instruct+math*0.5 (nf4)", "tiny+math*0.5 (nf4)"),
        ("mine=zoo:tiny?quant=nf4", "mine+instruct+math*0.5", "mine+math*0.5"),
    ],
)
def test_variants_are_named_as_their_model_strings_would_be(model, whole, one):
    spec, name = parse_stack(model, [INSTRUCT, f"{MATH}*0.5"])
    assert (name(spec.adapters), name(spec.adapters[1:])) == (whole, one)


def test_adapters_can_be_named_and_stand_in_the_model_string():
    spec, name = parse_stack(f"zoo:tiny{INSTRUCT}", [f"sums={MATH}"])
    assert [adapter.name for adapter in spec.adapters] == ["instruct", "sums"]
    assert name(spec.adapters) == "tiny+instruct+sums"


def whole_update(folder):
    """Each module's scaling · B·A, multiplied out."""
    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_text())
    rank = config["r"]
    scaling = config["lora_alpha"] / (math.sqrt(rank) if config["use_rslora"] else rank)
    tensors = load_file(folder / "adapter_model.safetensors")
    return {
        name.removesuffix(".lora_A.weight"): scaling
        * tensors[name.replace("lora_A", "lora_B")].double()
        @ tensors[name].double()
        for name in tensors
        if name.endswith("lora_A.weight")
    }


def test_sizes_and_cosines_equal_those_of_the_whole_matrices(tiny_models):
    import torch

    from runners.hf.updates import stack_geometry

    folders = tiny_models["llama"].adapters
    weights = {"first": 1.0, "second": -0.5}
    adapters = [Adapter(name=n, path=str(folders[n]), weight=w) for n, w in weights.items()]
    adapters.append(Adapter(name="again", path=str(folders["first"]), weight=2.0))
    found = stack_geometry(adapters, stack="all")
    parts = [
        {module: adapter.weight * update for module, update in whole_update(place).items()}
        for adapter in adapters
        for place in [folders["first" if adapter.name == "again" else adapter.name]]
    ]
    modules = {module for part in parts for module in part}
    summed = {m: sum(part[m] for part in parts if m in part) for m in modules}
    for size, whole in zip([*found.adapters, found.stack], [*parts, summed], strict=True):
        ranks = [int(torch.linalg.matrix_rank(update, rtol=1e-6)) for update in whole.values()]
        norm = math.sqrt(sum(float(update.square().sum()) for update in whole.values()))
        assert size.rank == sum(ranks)
        assert size.norm == pytest.approx(norm, rel=1e-9)
    assert found.stack.rank < found.stack.nominal_rank  # "again" adds no new direction
    assert found.cosines[0][2] == pytest.approx(1.0)
    product = sum(float((parts[0][m] * parts[1][m]).sum()) for m in parts[0].keys() & parts[1])
    norms = found.adapters[0].norm * found.adapters[1].norm
    assert found.cosines[0][1] == pytest.approx(product / norms, abs=1e-12)


def test_scaling_is_the_one_that_the_running_stack_uses(tiny_models, run_model):
    from runners.hf.updates import _scaling

    model = tiny_models["llama"]
    runner = run_model(f"hf:{model.folder}+lora:{model.adapters['second']}")
    config = json.loads((model.adapters["second"] / "adapter_config.json").read_text())
    (scaling, *_) = runner._base.adapters.stack._scalings.values()
    for module, value in scaling.items():
        assert _scaling(config, module, rank=config["r"]) == pytest.approx(value)
