"""A server on the loopback interface that looks like OpenAI's and runs no model.

It answers as its script says, fails where its script says, and counts: for tests, benchmarks,
rehearsals before money is spent, and recorded verdicts given once more from a file. ::

    python -m runners.endpoint.stub --port 8000 --latency-ms 200 --reply '[[A]]'
    python -m runners.endpoint.stub --port 8000 --replay gpt-4_pair.jsonl
    python -m runners.endpoint.stub --port 8000 --fault-rate 0.2 --quota 100
"""

from __future__ import annotations

from runners.endpoint.stub.script import FAULTS, Fault, StubReply, StubScript, read_recorded
from runners.endpoint.stub.server import StubServer, StubStats, serving

__all__ = [
    "FAULTS",
    "Fault",
    "StubReply",
    "StubScript",
    "StubServer",
    "StubStats",
    "read_recorded",
    "serving",
]
