"""Killed at random moments, a judging job resumes, and pays for nothing that it holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "judge_kill.py"


@pytest.mark.slow
def test_killed_judging_loses_no_verdict_and_two_at_once_share_the_bill():
    command = [sys.executable, str(SCRIPT), "--kills", "6", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = json.loads(done.stdout)
    assert counted["n_hits"] == 6
    assert counted["n_stored"] == counted["n_calls"] == 2 * counted["n_comparisons"]
    assert counted["n_repeated_after_storing"] == counted["n_repeated_by_two_at_once"] == 0
    # In flight at a kill: no more than the calls that were under way.
    assert counted["n_repeated_in_flight"] <= 6 * 8
