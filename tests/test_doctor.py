import json

import pytest

from runners import cli


def test_doctor_tries_each_quantisation_on_the_processor(capsys: pytest.CaptureFixture[str]):
    cli.doctor(as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["devices"][0]["name"] == "cpu"
    assert set(found["devices"][0]["quantizations"]) == {
        "int8",
        "nf4",
        "nf4-single",
        "torchao-int8",
    }
    assert found["packages"]["torch"]
    assert found["n_cores"] >= 1


def test_doctor_names_the_reason_why_a_layer_fails():
    from runners.hf.quantization import why_not

    reason = why_not("int8", "meta")
    assert "Error: " in reason
    assert "\n" not in reason


def test_doctor_and_models_print_lines(capsys: pytest.CaptureFixture[str]):
    cli.doctor()
    cli.models()
    out = capsys.readouterr().out
    assert "device cpu" in out
    assert "zoo:tiny-instruct" in out


def test_models_as_json_lists_the_catalogue(capsys: pytest.CaptureFixture[str]):
    cli.models(as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["name"] == "tiny"
