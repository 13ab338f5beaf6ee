"""The command ``parity judge`` against a stub server, a local model and a rule."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalcore.__main__ import main
from evalcore.store import open_store
from runners.endpoint.stub import StubReply, StubScript, StubServer, serving

MODELS = ("-m", "zoo:tiny", "-m", "zoo:tiny+lora:zoo:tiny-instruct")
PROMPTS = [
    {"id": "sum", "prompt": "What is 12 + 30?", "reference": "42", "category": "math"},
    {"id": "colours", "prompt": "Name three colours.", "reference": "red", "category": "list"},
    {"id": "word", "prompt": "Say a word.", "reference": "word", "category": "list"},
]


@pytest.fixture(scope="session")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a prompt set, and a workspace in which two models have answered it."""
    import sys

    folder = tmp_path_factory.mktemp("answered")
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, PROMPTS)))
    given = [*MODELS, "-p", str(folder / "prompts.jsonl"), "-w", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["parity", "generate", *given, "--max-new-tokens", "12"])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 0
    return folder


@pytest.fixture
def judged(answered: Path, tmp_path: Path, parity):
    """Run ``parity judge`` on a copy of the workspace."""
    out = tmp_path / "out"
    shutil.copytree(answered / "out", out)

    def run(*arguments: object, models: tuple[str, ...] = MODELS) -> tuple[int, str, str]:
        prompts = [] if "-p" in arguments else ["-p", answered / "prompts.jsonl"]
        return parity("judge", *models, *prompts, "-w", out, *arguments)

    run.out = out
    return run


@pytest.fixture
def stub() -> Iterator[StubServer]:
    """A server whose first answer always wins."""
    reply = StubReply(text='{"explanation": "the first is better", "verdict": "A"}')
    with serving(StubScript(answer=lambda _prompt: reply)) as server:
        yield server


def endpoint(server: StubServer, settings: str = "price=1/10&retries=0") -> str:
    return f"judge=openai:stub@{server.url}?{settings}"


def n_calls(server: StubServer) -> int:
    return server.stats.n_calls


def test_stub_judges_in_both_orders_and_is_asked_once(judged, stub):
    code, printed, _ = judged("-j", endpoint(stub), "--json")
    (pair,) = json.loads(printed)["result"]["pairs"]
    asked = n_calls(stub)
    assert code == 0
    assert pair["n_disagreed"] == asked / 2 >= 2
    assert pair["ties"] == 3
    code, printed, _ = judged("-j", endpoint(stub))
    assert code == 0
    assert n_calls(stub) == asked
    assert "0/3/0" in printed


def test_judged_pairs_reach_the_ratings(judged, parity):
    judged("-j", "rule:longest")
    code, printed, _ = parity("rate", "-w", judged.out, "--raters", "rule", "--json")
    assert code == 0, printed
    assert "tiny" in printed


def test_dry_run_says_the_cost_and_asks_nothing(judged, stub):
    code, printed, _ = judged("-j", endpoint(stub), "--dry-run", "--json")
    (estimated,) = json.loads(printed)["estimates"]
    assert code == 0
    assert n_calls(stub) == 0
    expected = estimated["prompt_tokens"] * 1e-6 + estimated["completion_tokens"] * 1e-5
    assert estimated["cost_usd"] == pytest.approx(expected)
    assert estimated["n_left"] > 0


def test_max_usd_stops_before_it_is_exceeded_and_the_rest_follows(judged, stub):
    costly = endpoint(stub, "price=0/1000&retries=0&concurrency=1")
    code, printed, errors = judged("-j", costly, "--max-usd", "1.03", "--json")
    (judge,) = json.loads(printed)["result"]["judges"]
    assert code == 3
    assert 0 < judge["spent_usd"] <= 1.03
    assert judge["tally"]["n_missing"] > 0
    assert "budget" in errors
    asked = n_calls(stub)
    code, *_ = judged("-j", costly)
    assert code == 0
    assert n_calls(stub) == asked + judge["tally"]["n_missing"]


@pytest.mark.parametrize(
    "fault", ["drop", "429", "500", "garbage", "half", "stall", "other_model", "quota"]
)
def test_fault_ends_with_3_keeps_the_rest_and_resumes(judged, stub, fault: str):
    stub.script = StubScript(answer=stub.script.answer, faults=(None, fault))
    code, printed, errors = judged(
        "-j", endpoint(stub, "retries=0&concurrency=1&timeout=2"), "--json"
    )
    (judge,) = json.loads(printed)["result"]["judges"]
    n_missing = judge["tally"]["n_missing"]
    assert code == 3
    assert n_missing >= 1
    assert f"{n_missing} answers could not be had" in errors
    stub.script = StubScript(answer=stub.script.answer)
    asked = n_calls(stub)
    code, *_ = judged("-j", endpoint(stub, "retries=0"))
    assert code == 0
    assert n_calls(stub) == asked + n_missing
    assert max(stub.stats.answered.values()) == 1


def test_unreadable_verdicts_end_with_3_and_stay(judged, stub):
    stub.script = StubScript(answer=lambda _prompt: StubReply(text="Both are fine."))
    code, _, errors = judged("-j", endpoint(stub))
    asked = n_calls(stub)
    assert code == 3
    assert f"{asked} of {asked} replies of judge hold no verdict" in errors
    with open_store(judged.out) as store:
        assert {comparison.explanation for comparison in store.comparisons()} == {""}
        assert {verdict.winner for verdict in store.verdicts()} == {None}
    code, *_ = judged("-j", endpoint(stub))
    assert code == 3
    assert n_calls(stub) == asked


def test_endpoint_judges_by_its_first_tokens(judged, stub):
    logprobs = {"A": math.log(0.2), "B": math.log(0.6)}
    reply = StubReply(text="B", first_token_logprobs=logprobs)
    stub.script = StubScript(answer=lambda _prompt: reply)
    code, printed, _ = judged("-j", endpoint(stub), "--judge-prompt", "logprobs", "--json")
    assert code == 0
    assert json.loads(printed)["result"]["pairs"][0]["preference"]["value"] == pytest.approx(0.5)
    with open_store(judged.out) as store:
        values = {round(verdict.value, 9) for verdict in store.verdicts()}
    assert values == {0.25, 0.75}
    assert stub.stats.last_body["top_logprobs"] == 20


def test_reply_is_held_to_a_schema_where_the_prompt_wants_json(judged, stub):
    judged("-j", endpoint(stub))
    wanted = stub.stats.last_body["response_format"]["json_schema"]["schema"]
    assert wanted["properties"]["verdict"]["enum"] == ["A", "B", "tie"]


def test_server_that_knows_no_schema_judges_all_the_same(judged, stub):
    stub.script = StubScript(answer=stub.script.answer, refuses=("response_format",))
    code, *_ = judged("-j", endpoint(stub, "concurrency=1"))
    assert code == 0


def test_local_model_judges_by_its_label_likelihoods(judged):
    arguments = ("-j", "local=zoo:tiny-style", "--judge-prompt", "logprobs", "--json")
    code, printed, _ = judged(*arguments)
    result = json.loads(printed)["result"]
    assert code == 0
    assert result["judges"][0]["n_asked"] > 0
    assert 0 < result["pairs"][0]["preference"]["value"] < 1


def test_local_model_writes_replies_that_are_kept(judged):
    code, _, errors = judged("-j", "local=zoo:tiny-style", "--max-new-tokens", "4")
    assert code == 3
    assert "hold no verdict" in errors
    with open_store(judged.out) as store:
        assert [verdict.winner for verdict in store.verdicts()] == [None] * 4


def test_rule_judges_known_answers(judged):
    code, printed, _ = judged("-j", "rule:contains", "--json")
    (pair,) = json.loads(printed)["result"]["pairs"]
    assert code == 0
    assert pair["wins"] + pair["ties"] + pair["losses"] == 3


def test_single_answers_are_rated_for_the_leaderboard(judged, stub, parity):
    stub.script = StubScript(answer=lambda _prompt: StubReply(text="Rating: [[7]]"))
    code, printed, _ = judged("-j", endpoint(stub), "--judge-prompt", "single", "--json")
    assert code == 0
    runs = json.loads(printed)["result"]["runs"]
    assert [run["estimates"]["rating"]["value"] for run in runs] == pytest.approx([7, 7])
    code, printed, _ = parity("leaderboard", "-w", judged.out, "--json")
    assert code == 0
    assert "prompts:single-v1:judge" in printed


def test_jury_with_weights(judged, stub):
    with serving(StubScript(answer=lambda _p: StubReply(text='{"verdict": "tie"}'))) as second:
        other = endpoint(second).replace("judge=", "other=")
        arguments = ("-j", endpoint(stub), "-j", other, "--jury", "--weight", "1", "--weight", "2")
        code, printed, _ = judged(*arguments, "--json")
    raters = [pair["rater"] for pair in json.loads(printed)["result"]["pairs"]]
    assert code == 0
    assert raters == ["judge", "other", "jury(judge×1, other×2)"]


BAD_INPUT = {
    "unknown judge": (["-j", "zoo:nobody"], "nobody"),
    "no judge": ([], "no judge"),
    "judge that is no model": (["-j", "gpt-4"], "gpt-4"),
    "unknown rule": (["-j", "rule:best"], "rule must be one of"),
    "unknown prompt": (["-j", "rule:contains", "--judge-prompt", "x"], "judge prompt must be"),
    "missing key": (
        ["-j", "openai:m@http://127.0.0.1:9/v1?key_env=NO_SUCH_KEY"],
        "NO_SUCH_KEY must hold the API key",
    ),
    "missing references": (["-j", "rule:contains", "-p", "{plain}"], "no answer to 1 of 1"),
    "prompts without ids": (["-j", "rule:contains", "-p", "{bare}"], "prompt 1 has no id"),
    "prompt file that isn't there": (["-j", "rule:contains", "-p", "{gone}"], "no such file"),
    "baseline nobody knows": (["-j", "rule:contains", "--baseline", "zoo:x"], "got 'x'"),
    "baseline and all pairs": (
        ["-j", "rule:contains", "--baseline", "tiny", "--all-pairs"],
        "exclude each other",
    ),
    "pairs of single answers": (
        ["-j", "rule:contains", "--all-pairs", "--judge-prompt", "single"],
        "--all-pairs is for pairs",
    ),
    "weight of nobody": (
        ["-j", "zoo:tiny", "--jury", "--weight", "1", "--weight", "2"],
        "--weight",
    ),
    "weight of nothing": (["-j", "zoo:tiny", "--weight", "0"], "--weight must be above 0"),
    "jury of one": (["-j", "zoo:tiny", "--jury"], "a jury needs two"),
    "slots": (["-j", "zoo:tiny", "--judge-prompt", "{slotless}"], "lacks its slots"),
    "three models": (
        ["-j", "rule:contains", "-m", "zoo:tiny-style"],
        "3 models: say which pairs with --baseline MODEL or --all-pairs",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_told_in_one_line(judged, tmp_path: Path, case: str):
    places = {name: tmp_path / f"{name}.jsonl" for name in ("plain", "bare", "gone")}
    places["slotless"] = tmp_path / "slotless.yaml"
    places["plain"].write_text('{"id": 1, "prompt": "Never answered."}')
    places["bare"].write_text('{"prompt": "Never answered."}')
    content = {"name": "x", "kind": "pairwise", "form": "label", "labels": ["A", "B"]}
    places["slotless"].write_text(json.dumps(content | {"template": "Who wins?"}))
    arguments, message = BAD_INPUT[case]
    code, printed, errors = judged(*(part.format_map(places) for part in arguments))
    assert code == 2, errors
    assert message in errors
    assert errors.count("\n") == 1
    assert printed == ""


def test_missing_models_and_prompts_are_told(parity, answered: Path):
    out = answered / "out"
    for arguments, message in (
        (["-j", "rule:contains", "-p", answered / "prompts.jsonl"], "no model"),
        (["-j", "rule:contains", *MODELS], "no prompts"),
    ):
        code, _, errors = parity("judge", *arguments, "-w", out)
        assert code == 2
        assert message in errors
    code, _, errors = parity("judge", "-j", "rule:contains", *MODELS, "-p", "x", "-w", out / "no")
    assert code == 2
