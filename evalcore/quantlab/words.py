"""What a quantisation lab found, in words."""

from __future__ import annotations

import math

from evalcore.quantlab.records import FormReport, QuantReport

__all__ = ["findings", "summary"]


def summary(report: QuantReport) -> str:
    """Say what was found in one line."""
    return f"{report.reference} against its forms. {'; '.join(findings(report))}."


def findings(report: QuantReport) -> list[str]:
    """Say of each form what it saves, how far it is from the reference, and what it changes."""
    reference, *forms = report.forms
    return [_finding(form, reference) for form in forms]


def _finding(form: FormReport, reference: FormReport) -> str:
    share = form.weights_bytes / reference.weights_bytes if reference.weights_bytes else math.nan
    memory = "" if math.isnan(share) else f"{share:.0%} of the memory, "
    kl = form.kl
    divergence = (
        "its divergence can't be measured"
        if math.isnan(kl.value)
        else f"KL {kl.value:.2g} ({max(kl.low, 0.0):.2g} to {kl.high:.2g}) nats per token"
    )
    verdicts = ", ".join(f"{change.verdict} on {change.task}" for change in form.tasks)
    return f"{form.label}: {memory}{divergence}, {verdicts}"
