"""Divergence from single precision against memory, and the forms that no other one beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from evalcore.quantlab.records import FormReport, QuantReport
from reports.figures.axes import log_axis
from reports.figures.drawing import Dot, Drawing, Figure, Line
from reports.figures.intervals import estimate_cells
from reports.figures.plot import Plot, labels_beside

__all__ = ["quantised_figure", "quantised_figures"]

_WIDTH, _HEIGHT = 560.0, 350.0


def quantised_figures(reports: Sequence[QuantReport]) -> list[Figure]:
    """Draw the forms of each study, under names and titles of their own."""
    drawn = [(report.reference, quantised_figure(report)) for report in reports]
    return [
        replace(figure, name=f"{figure.name}-{place}", title=f"{figure.title}: {reference}")
        for place, (reference, figure) in enumerate(drawn, start=1)
        if figure is not None
    ]


def quantised_figure(report: QuantReport) -> Figure | None:
    """Draw the forms; None if there is none whose memory and divergence are known and above 0."""
    forms = [
        form
        for form in report.forms[1:]
        if math.isfinite(form.weights_bytes) and form.weights_bytes > 0 and form.kl.value > 0
    ]
    if not forms:
        return None
    best = [form.label for form in forms if not form.is_dominated]
    return Figure(
        name="divergence-memory",
        section="quantised",
        title="Divergence against memory",
        caption="Less of both is better. Filled and joined: forms that no other one beats in one "
        "of both without losing in the other, as measured; hollow: beaten. Vertical lines hold "
        f"{report.confidence_level:.0%} intervals over texts. The reference itself, at a "
        "divergence of 0, has no place on a logarithmic scale.",
        description=f"Best trade-offs: {', '.join(best)}. All: "
        + "; ".join(_what(form) for form in forms),
        drawing=_drawing(forms),
        rows=tuple(
            {
                "form": form.label,
                "fingerprint": form.fingerprint,
                "memory, MB": form.weights_bytes / 1e6,
                **estimate_cells("kl", form.kl),
                "on_front": not form.is_dominated,
            }
            for form in forms
        ),
    )


def _drawing(forms: Sequence[FormReport]) -> Drawing:
    ends = [end for form in forms for end in (form.kl.low, form.kl.value, form.kl.high)]
    plot = Plot(
        x=log_axis([form.weights_bytes / 1e6 for form in forms]),
        y=log_axis([end for end in ends if 0.0 < end < math.inf]),
        left=74,
        top=14,
        right=_WIDTH - 16,
        bottom=_HEIGHT - 46,
    )
    dots = [(plot.across(f.weights_bytes / 1e6), plot.down(f.kl.value)) for f in forms]
    marks = plot.marks(x_title="weights in memory, MB", y_title="KL, nats per token")
    whiskers = [
        (x, plot.down(form.kl.high), plot.down(form.kl.low))
        for form, (x, _y) in zip(forms, dots, strict=True)
    ]
    marks += [
        Line(points=((x, high), (x, low)), tone="muted", width=1.5) for x, high, low in whiskers
    ]
    front = sorted(dot for form, dot in zip(forms, dots, strict=True) if not form.is_dominated)
    if len(front) > 1:
        marks.append(Line(points=tuple(front), tone="strong", width=1.5, dashes="5 4"))
    marks += [
        Dot(
            x=dot[0],
            y=dot[1],
            tone="muted" if form.is_dominated else "strong",
            hollow=form.is_dominated,
            what=_what(form),
        )
        for form, dot in zip(forms, dots, strict=True)
    ]
    taken = [(x - 2, high, x + 2, low) for x, high, low in whiskers]
    area = (plot.left, 0.0, _WIDTH, plot.bottom)
    labels = labels_beside(dots, [form.label for form in forms], area=area, taken=taken)
    return Drawing(width=_WIDTH, height=_HEIGHT, marks=(*marks, *labels))


def _what(form: FormReport) -> str:
    kl = form.kl
    return (
        f"{form.label}: {form.weights_bytes / 1e6:.1f} MB, KL {kl.value:.2g} "
        f"[{kl.low:.2g}, {kl.high:.2g}]"
    )
