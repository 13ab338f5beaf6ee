"""What moves judges besides merit, and what their confidence is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalcore.judges.bias.calibration import Calibration
from evalcore.judges.bias.report import BiasReport
from evalcore.records import Estimate
from evalcore.visible import one_line
from leaderboards.rounding import with_interval
from reports.figures.axes import linear_axis
from reports.figures.drawing import SERIES, Dot, Drawing, Figure, Line, Mark, Words
from reports.figures.intervals import Bar, estimate_cells, interval_drawing
from reports.figures.plot import Plot, legend
from reports.figures.shares import in_points

__all__ = ["bias_figure", "calibration_figure"]

_WIDTH, _HEIGHT = 460.0, 400.0


def bias_figure(judges: Sequence[BiasReport]) -> Figure | None:
    """Draw each judge's preference for a place, for length and for itself."""
    found = [
        (report.judge, what, estimate) for report in judges for what, estimate in _biases(report)
    ]
    found = [item for item in found if item[2].value == item[2].value]
    if not found:
        return None
    bars = [
        Bar(name=f"{judge}: {what}" if len(judges) > 1 else what, estimate=estimate)
        for judge, what, estimate in found
    ]
    return Figure(
        name="judge-biases",
        section="judges",
        title="What moves the judges besides merit",
        caption="In points of win rate, with intervals; 0 is no effect. Right of it: the first "
        "place, the longer answer, the judge's own answer are favoured. Length: how far above half "
        "the longer answer wins, merit included; people's where they voted on the same answers.",
        description="; ".join(
            f"{bar.name}: {with_interval(in_points(bar.estimate), 1)} points" for bar in bars
        ),
        drawing=interval_drawing(bars, places=1, zero=0.0, as_points=True),
        rows=tuple(
            {"judge": judge, "bias": what, **estimate_cells("effect", estimate)}
            for judge, what, estimate in found
        ),
    )


def _biases(report: BiasReport) -> Iterator[tuple[str, Estimate]]:
    yield "first place", report.position
    if report.longer_wins is not None:
        yield "longer answer", _above_half(report.longer_wins.judge)
        if report.longer_wins.humans is not None:
            yield "longer answer, people", _above_half(report.longer_wins.humans)
    for style in report.styles:
        if style.feature == "length":
            yield "length, others equal", style.effect
            if style.beyond_humans is not None:
                yield "length, beyond people", style.beyond_humans
    if report.self_preference is not None:
        yield "its own answers", report.self_preference.effect


def _above_half(share: Estimate) -> Estimate:
    return Estimate(
        value=share.value - 0.5,
        low=share.low - 0.5,
        high=share.high - 0.5,
        confidence_level=share.confidence_level,
        method=share.method,
        n=share.n,
        n_unscored=share.n_unscored,
    )


def calibration_figure(judges: Sequence[BiasReport]) -> Figure | None:
    """Draw people's agreement against how sure the judge was, for up to four judges."""
    known = [(r.judge, r.calibration) for r in judges if r.calibration and r.calibration.bins]
    if not known:
        return None
    shown = known[: len(SERIES)]
    return Figure(
        name="judge-calibration",
        section="judges",
        title="What a judge's confidence is worth",
        caption="People's mean score of the answer that the judge prefers, by how sure it was, "
        "with intervals. On the dashed line a judge is calibrated; below it, it exaggerates."
        + (f" The first {len(shown)} of {len(known)} judges." if len(shown) < len(known) else ""),
        description="; ".join(
            f"{one_line(judge)}: "
            + ", ".join(
                f"{b.judge:.2f} sure, {b.people.value:.2f} agree (n = {b.n})" for b in f.bins
            )
            for judge, f in known
        ),
        drawing=_calibration_drawing(shown),
        rows=tuple(
            {
                "judge": judge,
                "from": one.low,
                "to": one.high,
                "judge_score": one.judge,
                "n": one.n,
                **estimate_cells("people", one.people),
            }
            for judge, f in known
            for one in f.bins
        ),
    )


def _calibration_drawing(shown: Sequence[tuple[str, Calibration]]) -> Drawing:
    plot = Plot(
        x=linear_axis([0.5, 1.0]),
        y=linear_axis(
            [0.0, 1.0, *(end for _j, f in shown for b in f.bins for end in _ends(b.people))]
        ),
        left=64,
        top=36,
        right=_WIDTH - 16,
        bottom=_HEIGHT - 46,
    )
    marks: list[Mark] = plot.marks(
        x_title="judge's score of the answer that it prefers", y_title="people's score of it"
    )
    even = ((plot.across(0.5), plot.down(0.5)), (plot.across(1.0), plot.down(1.0)))
    marks.append(Line(points=even, tone="soft", width=1.5, dashes="5 4"))
    marks.append(Words(x=plot.across(0.97), y=plot.down(0.86), text="calibrated", anchor="end"))
    for (judge, found), (tone, symbol, dashes) in zip(shown, SERIES, strict=False):
        places = [(plot.across(b.judge), plot.down(b.people.value)) for b in found.bins]
        marks.append(Line(points=tuple(places), tone=tone, width=1.5, dashes=dashes))
        for (x, y), one in zip(places, found.bins, strict=True):
            low, high = _ends(one.people)
            whisker = (x, plot.down(low)), (x, plot.down(high))
            marks.append(Line(points=whisker, tone=tone, width=1.5))
            what = f"{judge}: judge {one.judge:.2f}, people {one.people.value:.2f}, n = {one.n}"
            marks.append(Dot(x=x, y=y, tone=tone, symbol=symbol, what=what))
    entries = [
        (name, tone, symbol) for (name, _f), (tone, symbol, _d) in zip(shown, SERIES, strict=False)
    ]
    marks += legend(entries, x=64, y=16, longest=_WIDTH - 8)
    return Drawing(width=_WIDTH, height=_HEIGHT, marks=tuple(marks))


def _ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high
