"""Figures for Prometheus; they name no rater and no model."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Telemetry"]


class Telemetry:
    """The service's figures, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.votes = Counter(
            "parity_arena_votes",
            "Votes written, by whether they count; changes count anew.",
            ["status"],
            registry=self._registry,
        )
        self.battles = Counter(
            "parity_arena_battles", "Battles opened and ended.", ["event"], registry=self._registry
        )
        self.refusals = Counter(
            "parity_arena_refusals", "Requests refused.", ["code"], registry=self._registry
        )
        self.outages = Counter(
            "parity_arena_outages",
            "Things out of order: verifier, store, source. Alert on any increase.",
            ["part"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "parity_arena_request_seconds",
            "Time to answer.",
            ["route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )
        self.waiting = Gauge(
            "parity_arena_waiting_writes",
            "Transactions that wait for the writer.",
            registry=self._registry,
        )

    def follow(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a figure that is kept elsewhere, read whenever it is asked for."""
        Gauge(f"parity_arena_{name}", text, registry=self._registry).set_function(read)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)
