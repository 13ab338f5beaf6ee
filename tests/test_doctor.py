import json

import pytest

from runners import cli
from runners.forms import FORMS


def test_doctor_runs_a_model_in_each_form_on_the_processor(capsys: pytest.CaptureFixture[str]):
    cli.doctor(as_json=True)
    found = json.loads(capsys.readouterr().out)
    (device,) = [device for device in found["devices"] if device["name"] == "cpu"]
    trials = {trial["form"]: trial for trial in device["forms"]}
    assert list(trials) == ["fp32", *FORMS]
    for form, trial in trials.items():
        assert trial["why_not"] is None
        assert min(trial["load_s"], trial["run_s"]) > 0
        assert (trial["kl"] == 0) == (form == "fp32")
    assert device["default"].startswith("gguf:Q4_K_M: smallest and fastest on a CPU")
    assert found["packages"]["torch"]
    assert found["n_cores"] >= 1


def test_doctor_names_the_reason_why_a_layer_fails():
    from runners.hf.quantization import why_not

    reason = why_not("int8", "meta")
    assert "Error: " in reason
    assert "\n" not in reason


def test_form_that_fails_has_its_reason_and_another_is_recommended(monkeypatch):
    from evalcore.errors import ModelError
    from runners import form_trials

    def refuse(_reference, form, **_options):
        raise ModelError(f"no {form} here")

    monkeypatch.setattr(form_trials, "quantised_form", refuse)
    trials = form_trials.try_forms("cpu")
    assert [trial.why_not for trial in trials[1:]] == [f"no {form} here" for form in FORMS]
    assert form_trials.fitting_default("cpu", trials) == "fp32: nothing smaller works here"
    works = [*trials, form_trials.FormTrial(form="nf4", why_not=None)]
    assert form_trials.fitting_default("cuda:0", works).startswith("nf4: least memory")


def test_doctor_and_models_print_lines(capsys: pytest.CaptureFixture[str], monkeypatch):
    from runners import doctor
    from runners.form_trials import FormTrial

    monkeypatch.setattr(doctor, "try_forms", lambda _: (FormTrial(form="x", why_not="broken"),))
    cli.doctor()
    cli.models()
    out = capsys.readouterr().out
    assert "device cpu" in out
    assert "broken" in out
    assert "zoo:tiny-instruct" in out


def test_models_as_json_lists_the_catalogue(capsys: pytest.CaptureFixture[str]):
    cli.models(as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["name"] == "tiny"
