"""Judging with ``--executor ray``: all paid calls keep to one rate and one budget."""

import json
import time
from pathlib import Path

import pytest

from runners.endpoint.stub import StubReply, StubScript, StubServer, serving

MODELS = ("-m", "fake:a", "-m", "fake:b")
N_CALLS = 24
RPM = 600


@pytest.fixture
def server():
    with serving(StubScript(answer=lambda _prompt: StubReply(text="Rating: [[7]]"))) as running:
        yield running


@pytest.fixture
def judged(parity, server: StubServer, tmp_path: Path):
    """Judge a dozen prompts of two models, by two judges at one endpoint."""
    prompts = [{"id": str(n), "prompt": f"Prompt {n}."} for n in range(N_CALLS)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    given = [*MODELS, "-p", tmp_path / "p.jsonl", "-w", tmp_path / "out"]
    assert parity("generate", *given)[0] == 0

    def run(settings: str, *arguments: object) -> tuple[int, dict]:
        judges = [f"j{n}=openai:judge{n}@{server.url}?{settings}" for n in (1, 2)]
        named = [part for judge in judges for part in ("-j", judge)]
        code, printed, _ = parity(
            "judge",
            *given,
            *named,
            "--judge-prompt",
            "single",
            "--executor",
            "ray",
            "--json",
            *arguments,
        )
        return code, json.loads(printed)["result"]

    return run


def test_a_rate_is_kept_whatever_the_executor(judged, server: StubServer):
    began = time.monotonic()
    code, result = judged(f"rpm={RPM}&concurrency=16")
    took_s = time.monotonic() - began
    assert code == 0
    assert server.stats.n_calls == 2 * N_CALLS
    assert [judge["tally"]["n_missing"] for judge in result["judges"]] == [0, 0]
    assert took_s >= 2 * (N_CALLS - 1) * 60 / RPM


def test_one_budget_is_kept_by_all_judges_together(judged, server: StubServer):
    code, result = judged("price=0/1000&retries=0&concurrency=4", "--max-usd", "1.1")
    spent = sum(judge["spent_usd"] for judge in result["judges"])
    assert code == 3
    assert 0 < spent <= 1.1
    assert 0 < server.stats.n_answered < 2 * N_CALLS
