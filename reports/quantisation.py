"""What a quantisation lab found, as tables and a page with a Pareto plot."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evalcore.quantlab.records import FormReport, QuantReport, TaskChange
from evalcore.quantlab.words import findings
from evalcore.records import Estimate, utc_now
from leaderboards.rounding import decimals, number, p_value
from reports.figures.quantised import quantised_figure
from reports.figures.svg import inline_svg
from reports.templating import environment

__all__ = ["cost_rows", "quantisation_page", "quantised_context", "task_tables"]

Rows = list[dict[str, str]]

_ITSELF = "by definition"


def quantisation_page(report: QuantReport) -> str:
    """Return a page of HTML that asks for nothing from elsewhere."""
    figure = quantised_figure(report)
    return (
        environment()
        .get_template("quantisation.html")
        .render(
            report=report,
            findings=findings(report),
            figure=figure,
            drawing=None if figure is None else inline_svg(figure),
            costs=cost_rows(report),
            changes=task_tables(report),
            written_utc=utc_now(),
        )
    )


def quantised_context(reports: Sequence[QuantReport]) -> list[dict[str, object]]:
    """Return what the templates' section on quantised forms shows, one entry for each study."""
    return [
        {
            "report": report,
            "findings": findings(report),
            "costs": cost_rows(report),
            "changes": task_tables(report),
        }
        for report in reports
    ]


def cost_rows(report: QuantReport) -> Rows:
    """One row for each form: how far it is from the reference, and what it takes."""
    return [_costs(form, has_energy=_has_energy(report)) for form in report.forms]


def task_tables(report: QuantReport) -> list[tuple[str, Rows]]:
    """One table for each task, one row for each form, with the task's name and metric."""
    tables = []
    for place, task in enumerate(report.forms[0].tasks):
        better = "more" if task.higher_is_better else "less"
        rows = [_change(form, form.tasks[place]) for form in report.forms]
        tables.append((f"{task.task}, {task.metric}, {better} is better", rows))
    return tables


def _costs(form: FormReport, *, has_energy: bool) -> dict[str, str]:
    row = {
        "form": form.label,
        "KL, nats per token": _interval(form.kl),
        "same top": _percent(form.same_top),
        "disk, MB": _megabytes(form.disk_bytes),
        "memory, MB": _megabytes(form.weights_bytes),
    }
    if form.speed is not None:
        row["prefill/s"] = _rate(form.speed.prefill_tokens_per_s)
        row["decode/s"] = _rate(form.speed.decode_tokens_per_s)
        if has_energy:
            joules = form.speed.joules_per_token
            row["joules per token"] = "–" if joules is None else _rate(joules)
    row["beaten"] = "yes" if form.is_dominated else ""
    return row


def _change(form: FormReport, change: TaskChange) -> dict[str, str]:
    row = {"form": form.label, "score": number(change.score.value, 4)}
    is_reference = form.kl.method == _ITSELF
    row["change"] = "" if is_reference else _interval(change.difference, signed=True)
    row["worse, better"] = "" if is_reference else f"{change.n_worse}, {change.n_better}"
    if change.n_changed is not None:
        row["other words"] = "" if is_reference else str(change.n_changed)
    row["p"] = "" if is_reference else p_value(change.p_value).removeprefix("= ")
    row["verdict"] = "" if is_reference else change.verdict
    return row


def _interval(estimate: Estimate, *, signed: bool = False) -> str:
    if math.isnan(estimate.value):
        return "–"
    if estimate.method == _ITSELF:
        return "0"
    texts = [_small(value) for value in (estimate.value, estimate.low, estimate.high)]
    plus = "+" if signed and estimate.value > 0 else ""
    return f"{plus}{texts[0]} [{texts[1]}, {texts[2]}]"


def _small(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.3g}".replace("-", "−")


def _percent(estimate: Estimate) -> str:
    return "–" if math.isnan(estimate.value) else f"{estimate.value:.2%}"


def _rate(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "–"
    half = (estimate.high - estimate.low) / 2
    if not math.isfinite(half):
        # A single round tells nothing of how rounds vary: its interval is infinite.
        return f"{estimate.value:.3g}"
    places = decimals([estimate])
    return f"{number(estimate.value, places)} ± {number(half, places)}"


def _megabytes(size: float) -> str:
    return "–" if math.isnan(size) else f"{size / 1e6:.1f}"


def _has_energy(report: QuantReport) -> bool:
    return any(form.speed and form.speed.joules_per_token for form in report.forms)
