"""``openai:MODEL@URL?…``: what is read, what is part of a fingerprint, keys and prices."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.codec import spec_from
from evalcore.errors import InputError, ModelError
from runners import open_runners, parse_model, resolve
from runners.endpoint.address import api_key, endpoint_of
from runners.endpoint.prices import known_price

URL = "http://127.0.0.1:8000/v1"


def test_string_with_everything_is_read_in_full():
    spec = parse_model(
        f"mine=openai:org/m@{URL}/?key_env=MY_KEY&rpm=3000&tpm=1e6&concurrency=64&timeout=30"
        "&retries=2&price=2.5/10&serves=m-0613&omit=seed,top_p"
    )
    found = endpoint_of(spec)
    assert (spec.name, spec.backend, found.model, found.url) == ("mine", "openai", "org/m", URL)
    assert (found.key_env, found.serves, found.omit) == ("MY_KEY", "m-0613", {"seed", "top_p"})
    assert (found.requests_per_minute, found.tokens_per_minute) == (3000, 1e6)
    assert (found.concurrency, found.timeout_s, found.retries) == (64, 30, 2)
    assert found.price is not None
    assert found.price.cost_usd(1_000_000, 2_000_000) == 22.5


def test_only_what_changes_an_answer_is_part_of_the_fingerprint():
    plain = parse_model(f"openai:m@{URL}").fingerprint
    for access in ("rpm=60", "tpm=9", "concurrency=2", "key_env=K", "retries=0", "price=1/2"):
        assert parse_model(f"openai:m@{URL}?{access}").fingerprint == plain
    for other in (f"m@{URL}?omit=seed", f"m@{URL}?serves=m-0613", f"n@{URL}", f"m@{URL[:-1]}2"):
        assert parse_model(f"openai:{other}").fingerprint != plain


def test_a_spec_survives_the_store():
    from dataclasses import asdict

    spec = resolve(parse_model(f"openai:m@{URL}?rpm=60&omit=seed"))
    assert spec_from(asdict(spec)) == spec


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openai:m", "openai:MODEL@URL"),
        (f"openai:@{URL}", "openai:MODEL@URL"),
        ("openai:m@ftp://host/v1", "openai:MODEL@URL"),
        ("openai:m@http:///v1", "must name a host"),
        ("openai:m@http://host:x/v1", "can't be read"),
        (f"openai:m@{URL}?speed=1", "settings are concurrency"),
        (f"openai:m@{URL}?rpm=0", "rpm must be a number of at least 1; got '0'"),
        (f"openai:m@{URL}?concurrency=1.5", "concurrency must be a whole number"),
        (f"openai:m@{URL}?timeout=nan", "timeout must be a number"),
        (f"openai:m@{URL}?price=cheap", "price must be dollars"),
        (f"openai:m@{URL}?omit=model", "omit must name some of seed"),
        (f"openai:m@{URL}+lora:x", "an endpoint takes no adapters"),
    ],
)
def test_what_can_not_be_read_is_told(text: str, told: str):
    with pytest.raises(ModelError, match=told):
        parse_model(text)


@pytest.mark.parametrize(
    "text",
    [
        "openai:m@http://user:sk-secret@host/v1",
        f"openai:m@{URL}?key=sk-secret",
        f"openai:m@{URL}?key_env=sk-secret",
        f"openai:m@{URL}?key_env=hf_secret",
    ],
)
def test_a_key_in_the_string_is_refused_and_not_repeated(text: str):
    with pytest.raises(ModelError, match="key_env") as refused:
        parse_model(text)
    assert "secret" not in str(refused.value)


def test_a_missing_key_names_its_variable_before_anything_is_opened(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    specs = [parse_model("fake:echo"), parse_model("openai:gpt-4o@https://api.openai.com/v1")]
    with pytest.raises(ModelError, match="environment variable OPENAI_API_KEY must hold"):
        open_runners(specs)


def test_openais_key_goes_to_openai_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("MINE", "other")
    there = endpoint_of(parse_model("openai:gpt-4o@https://api.openai.com/v1"))
    assert api_key(there) == "sk-secret"
    assert api_key(endpoint_of(parse_model("openai:m@https://example.com/v1"))) is None
    named = endpoint_of(parse_model("openai:m@https://example.com/v1?key_env=MINE"))
    assert api_key(named) == "other"


@pytest.mark.parametrize(
    ("model", "input_usd"),
    [
        ("gpt-4o", 2.5),
        ("gpt-4o-2024-08-06", 2.5),
        ("gpt-4o-2024-05-13", 5.0),
        ("gpt-4o-mini", 0.15),
    ],
)
def test_a_dated_name_costs_what_its_model_does(model: str, input_usd: float):
    price = known_price(model, "api.openai.com")
    assert price is not None
    assert price.input_usd == input_usd


def test_a_price_holds_for_its_host_alone():
    assert known_price("gpt-4o", "127.0.0.1") is None


def test_ones_own_table_comes_first(tmp_path: Path, monkeypatch):
    table = tmp_path / "prices.yaml"
    table.write_text("- {model: gpt-4o, input: 1, output: 2}\n- {model: m, input: 3, output: 4}\n")
    monkeypatch.setenv("PARITY_PRICES", str(table))
    assert known_price("gpt-4o", "api.openai.com").input_usd == 1
    assert known_price("m", "anywhere").output_usd == 4
    assert known_price("gpt-4", "api.openai.com").input_usd == 30


@pytest.mark.parametrize(
    "text", ["- {model: m}", "m: 3", "- {model: m, input: -1, output: 2}", "["]
)
def test_a_table_that_can_not_be_read_names_its_file(tmp_path: Path, monkeypatch, text: str):
    (tmp_path / "p.yaml").write_text(text)
    monkeypatch.setenv("PARITY_PRICES", str(tmp_path / "p.yaml"))
    with pytest.raises(InputError, match=r"price table .*p\.yaml \(PARITY_PRICES\)"):
        known_price("m", "host")


@pytest.mark.parametrize(
    ("url", "is_private"),
    [
        (URL, True),
        ("http://192.168.1.7/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://gpu-box:8000/v1", True),
        ("https://api.example.com/v1", False),
        ("http://8.8.8.8/v1", False),
    ],
)
def test_a_private_server_is_told_from_a_public_one(url: str, is_private: bool):
    assert endpoint_of(parse_model(f"openai:m@{url}")).is_private == is_private


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str):
    try:
        spec = parse_model(f"openai:m@http://host/v1?{text}")
    except InputError:
        return
    assert spec.backend == "openai"
