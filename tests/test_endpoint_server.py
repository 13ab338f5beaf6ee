"""A real server here: transformers' own with the tiny family, from answers to verdicts."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalcore.protocols import GenerateRequest
from evalcore.records import Message, SamplingParams
from runners import parse_model
from runners.endpoint.runner import EndpointRunner

pytestmark = pytest.mark.slow
TINY = Path(__file__).resolve().parent.parent / "runners" / "zoo" / "tiny"


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Serve the tiny model; give its model string."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = [str(Path(sys.executable).with_name("transformers")), "serve"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*program, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        try:
            said = next((line for line in server.stderr if "Uvicorn running" in line), "")
            assert said, "the server ended"
            yield f"openai:{TINY}@http://127.0.0.1:{port}/v1?concurrency=2"
        finally:
            server.kill()


def test_a_real_server_answers_as_the_model_does_in_this_process(served, run_model, collect):
    request = GenerateRequest(
        prompt=(Message(role="user", content="Name three animals."),),
        params=SamplingParams(max_new_tokens=12),
    )
    runner = EndpointRunner(parse_model(served))
    (there,) = collect(runner.generate([request]))
    pieces = list(runner.stream(request))
    runner.close()
    (here,) = collect(run_model(f"hf:{TINY}").generate([request]))
    assert there.finish_reason != "error", there.text
    assert there.text.strip() == here.text.strip()
    assert there.prompt_tokens == here.prompt_tokens
    assert "".join(pieces) == there.text


def test_a_real_server_judges_from_the_command_line(served, parity, tmp_path: Path):
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"id": f"q{number}", "prompt": f"Question {number}?"} for number in range(2)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    models = ["-m", "first=fake:a", "-m", "second=zoo:tiny", "-p", prompts, "-w", tmp_path]
    code, _, problems = parity("generate", *models, "--max-new-tokens", 8)
    assert code == 0, problems
    judge = ["-j", f"tiny-judge={served}", "--max-new-tokens", 16, "--json"]
    code, printed, problems = parity("judge", *models, *judge)
    # A model of this size can't judge: its replies are unscored, counted and kept.
    assert code == 3
    assert re.search(r"4 of 4 replies of tiny-judge hold no verdict", problems)
    tally = json.loads(printed)["result"]["judges"][0]["tally"]
    assert (tally["n_calls"], tally["n_missing"], tally["n_unscored"]) == (4, 0, 4)
