import json
import math
import re
from typing import get_args

import pytest
import yaml

from evalcore.codec import jsonable, spec_from
from evalcore.errors import InputError, ModelError
from evalcore.records import Openness, OpennessLevel
from runners import cli, parse_model, resolve
from runners.catalogue import CATALOGUE_FILE, catalogue, stands_on
from runners.chat_templates import CHAT_TEMPLATES
from runners.footprint import BITS_PER_WEIGHT, memory_bytes
from runners.listing import listed_models

ENTRIES = list(catalogue().values())
LOADABLE = [entry.name for entry in ENTRIES if entry.elsewhere is None]
BUNDLED = [entry.name for entry in ENTRIES if entry.family == "tiny"]
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def places(entry):
    return [place for place in (entry.weights, entry.adapter) if place]


def test_catalogue_lists_each_entry_with_weights_or_a_base():
    assert set(catalogue()) == set(yaml.safe_load(CATALOGUE_FILE.read_text("utf-8")))
    for entry in ENTRIES:
        assert bool(entry.weights) != bool(entry.base and (entry.adapter or entry.elsewhere))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_entry_says_what_a_leaderboard_filters_by(entry):
    levels = [entry.openness.weights, entry.openness.data, entry.openness.code]
    assert set(levels) <= set(get_args(OpennessLevel))
    assert isinstance(stands_on(entry)[-1].n_parameters, int)
    assert entry.chat_template in {None, *CHAT_TEMPLATES}
    assert isinstance(entry.revision, str | None)
    assert entry.source
    assert entry.training_cost is None or entry.training_cost.source


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_places_are_bundled_folders_or_well_formed_hub_ids(entry):
    for place in places(entry):
        bundled = (CATALOGUE_FILE.parent / place).is_dir()
        hub = HUB_ID.fullmatch(place) and "--" not in place and ".." not in place
        assert bundled if place.startswith("zoo/") else hub


@pytest.mark.parametrize("name", LOADABLE)
def test_zoo_name_is_read_as_its_base_and_stack(name: str):
    spec = parse_model(f"zoo:{name}")
    entry = catalogue()[name]
    assert spec.weights.endswith(stands_on(entry)[-1].weights)
    assert len(spec.adapters) == (0 if entry.base is None else 1 + (entry.base == "tiny-instruct"))
    assert spec.name.startswith(stands_on(entry)[-1].name)
    assert "(" not in spec.name


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_models_are_whole_and_their_adapters_fit(name: str):
    spec = resolve(parse_model(f"zoo:{name}"))
    assert spec.sha256
    assert all(adapter.sha256 for adapter in spec.adapters)
    assert spec.n_parameters == stands_on(catalogue()[name])[-1].n_parameters


def test_model_that_can_t_be_loaded_says_where_it_is():
    with pytest.raises(ModelError, match=r"zoo:llama-adapter-7b can't be loaded: its weights are"):
        parse_model("zoo:llama-adapter-7b")


def test_hub_model_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"EleutherAI/pythia-70m@step143000 is neither") as caught:
        resolve(parse_model("zoo:pythia-70m"))
    assert "\n" not in str(caught.value)


def test_facts_follow_a_hub_id_and_its_adapters():
    base = parse_model("hf:huggyllama/llama-7b")
    stack = parse_model("hf:huggyllama/llama-7b+lora:nomic-ai/gpt4all-lora*0.5")
    assert base.openness == Openness(weights="partly", data="partly", code="partly")
    assert stack.openness == Openness(weights="partly", data="partly", code="partly")
    assert (base.training_cost_usd, stack.training_cost_usd) == (None, 100)
    assert base.n_parameters == stack.n_parameters == 6_738_415_616


def test_training_compute_of_cerebras_gpt_is_the_published_one():
    """Dey et al. (2023), model cards: with attention, and at 20 tokens a weight."""
    published = {"111m": 2.6e18, "1.3b": 2.8e20, "13b": 2.3e22}
    for size, flops in published.items():
        entry = catalogue()[f"cerebras-gpt-{size}"]
        spec = parse_model(f"hf:{entry.weights}")
        assert entry.training_tokens / entry.n_parameters == pytest.approx(20, rel=0.002)
        assert 0.5 < spec.training_flops / flops < 1
    assert parse_model("zoo:vicuna-7b").training_flops is None


OWN = {
    "openness": {"weights": "open", "data": "open", "code": "closed"},
    "licence": "MIT",
    "n_parameters": 1000,
    "training_tokens": 20_000,
}


@pytest.fixture
def own(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Write a catalogue of one's own."""

    def write(**entries: object):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(entries))
        monkeypatch.setenv("PARITY_CATALOGUE", str(path))
        return path

    return write


def test_own_entry_is_known_by_name_by_place_and_to_the_list(own, llama, monkeypatch):
    own(mine={"weights": str(llama.folder), **OWN})
    monkeypatch.chdir(llama.folder.parent)
    for text in ("zoo:mine", f"hf:{llama.folder}", f"hf:{llama.folder.name}"):
        spec = resolve(parse_model(text))
        assert (spec.licence, spec.openness.code, spec.training_tokens) == ("MIT", "closed", 20_000)
        assert spec.training_flops == 6 * spec.n_parameters * 20_000
    assert [model.entry.name for model in listed_models(family="own")] == ["mine"]


def test_place_beside_the_own_file_is_a_folder_and_any_other_a_hub_id(own, llama, tmp_path):
    (tmp_path / "a").symlink_to(llama.folder)
    own(mine={"weights": "a", **OWN}, hub={"weights": "org/model", **OWN})
    assert parse_model("zoo:mine").weights == str(llama.folder)
    assert parse_model("zoo:hub").weights == "org/model"


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("mine", {"weights": "a"}, "mine → openness: Field required"),
        ("mine", {"weights": "a", **OWN, "tokens": 3}, "mine → tokens: "),
        ("mine", {"weights": "a", **OWN, "n_parameters": -1}, "mine → n_parameters: "),
        ("mine", OWN, "mine: needs weights, or base and adapter"),
        ("mine", {"weights": "a", "openness": OWN["openness"]}, "mine: needs n_parameters"),
        ("mine", {"base": "b", "adapter": "a", **OWN}, "mine: there is no entry 'b' for its base"),
        ("tiny", {"weights": "a", **OWN}, "tiny: an entry of the bundled catalogue has this name"),
        ("mine", "text", "mine: "),
    ],
)
def test_wrong_own_entry_is_one_line(own, parity, name, fields, told):
    own(**{name: fields})
    code, _out, err = parity("models")
    assert code == 2
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("content", ["[", "- a", "\0", None])
def test_own_file_that_is_none_is_one_line(tmp_path, monkeypatch, parity, content):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("PARITY_CATALOGUE", str(path))
    code, _out, err = parity("models")
    assert code == 2
    assert f"catalogue {path} (PARITY_CATALOGUE)" in err
    assert err.count("\n") == 1


def test_licences_of_a_stack_all_hold():
    spec = parse_model("zoo:llama-7b+lora:zoo:alpaca-lora-7b")
    assert spec.licence == "LLaMA non-commercial AND CC-BY-NC-4.0"


def test_unknown_part_makes_the_whole_unknown():
    spec = parse_model("zoo:tiny+lora:elsewhere/adapter")
    assert (spec.licence, spec.openness, spec.training_cost_usd) == (None, None, None)


def test_facts_are_no_part_of_the_fingerprint_and_survive_the_store(llama):
    plain = resolve(parse_model(f"hf:{llama.folder}"))
    spec = resolve(parse_model("zoo:tiny"))
    assert spec_from(json.loads(json.dumps(jsonable(spec)))) == spec
    assert spec.base.openness is None
    assert plain.n_parameters > 0
    assert spec.fingerprint == spec.base.fingerprint


def test_count_of_weights_is_that_of_the_published_shapes():
    """LLaMA 7B: Touvron et al. (2023), table 2: 32 layers of 4096, feed-forward 11008."""
    layer = 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096
    assert catalogue()["llama-7b"].n_parameters == 2 * 32000 * 4096 + 32 * layer + 4096


def test_memory_is_that_of_published_files_and_a_fifth():
    """llama.cpp, tools/quantize/README.md: Llama 3.1 8B takes 4.58 GiB as Q4_K_M."""
    n_parameters = 8_030_261_248
    assert math.isclose(memory_bytes(n_parameters, "Q4_K_M") / 1.2 / 2**30, 4.58, abs_tol=0.01)
    assert list(BITS_PER_WEIGHT.values()) == sorted(BITS_PER_WEIGHT.values(), reverse=True)


def test_filters_leave_what_passes_all_of_them():
    found = listed_models(family="pythia", licence="mit", openness="full", fits_bytes=8 * 2**30)
    assert [model.entry.name for model in found] == ["dolly-v2-3b", "dolly-v2-7b", "dolly-v2-12b"]
    assert [model.fits_as for model in found] == ["bf16", "int8", "nf4"]


def test_open_data_alone_is_not_the_full_stack():
    names = {model.entry.name for model in listed_models(openness="full")}
    assert {"pythia-70m", "smollm2-135m-instruct", "olmo-2-1b-instruct"} <= names
    assert not {"gpt4all-lora", "qwen3-0.6b", "phi-3-mini-instruct"} & names


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"family": "bird"}, "--family must be one of tiny, llama, .*; got 'bird'"),
        ({"licence": "WTFPL"}, "--licence must be part of one of Apache-2.0, .*; got 'WTFPL'"),
    ],
)
def test_filter_for_what_isn_t_there_lists_what_is(filters, message):
    with pytest.raises(InputError, match=message):
        listed_models(**filters)


def test_models_prints_a_line_for_each_and_what_the_signs_mean(capsys):
    cli.models(fits="600MB")
    out = capsys.readouterr().out
    assert re.search(r"zoo:smollm2-135m-instruct +135 M +bf16 +0.3 +0.1 +●●● +Apache-2", out)
    assert "● open" in out
    assert "zoo:llama-7b" not in out


def test_models_says_so_when_nothing_passes(capsys):
    cli.models(fits="1kB")
    assert capsys.readouterr().out == "no model of the catalogue passes these filters\n"


def test_models_as_json_holds_entries_and_memory(capsys):
    cli.models(as_json=True, family="tiny")
    (first, *_) = json.loads(capsys.readouterr().out)
    assert (first["name"], first["is_full_stack"], first["n_parameters"]) == ("tiny", True, 2690816)
    assert first["memory_bytes"]["fp32"] == round(2690816 * 4 * 1.2)


def test_compute_of_own_models_reaches_board_and_figure(own, parity, tmp_path):
    sizes = {"small": 10**6, "middle": 10**7, "large": 10**8}
    facts = {name: {**OWN, "n_parameters": n} for name, n in sizes.items()}
    own(**{name: {"weights": name, **fields} for name, fields in facts.items()})
    models = [part for name in sizes for part in ("-m", f"fake:{name}")]
    workspace = tmp_path / "out"
    assert parity("eval", *models, "-t", "tiny-text", "-L", "8", "-w", workspace)[0] == 0
    _code, out, _err = parity("leaderboard", "-w", workspace, "--json")
    costs = json.loads(out)["leaderboard"]["costs"].values()
    assert {cost["training_flops"] for cost in costs} == {1.2e11, 1.2e12, 1.2e13}
    assert parity("report", "-w", workspace, "--figures", tmp_path / "figures")[0] == 0
    drawn = {path.name for path in (tmp_path / "figures").glob("scaling-*.svg")}
    assert drawn == {"scaling-parameters-tiny-text.svg", "scaling-compute-tiny-text.svg"}
