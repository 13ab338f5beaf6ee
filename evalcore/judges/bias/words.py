"""A bias report in words and as a table of lines."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from evalcore.judges.bias.report import BiasReport
from evalcore.records import Estimate

__all__ = ["Line", "lines", "percent", "points"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One quantity of a report."""

    heading: str
    what: str
    value: str
    meaning: str = ""
    """What it says, in words; empty where the number says it all."""


def percent(estimate: Estimate | None) -> str:
    """Write a share with its interval, such as ``66.0 % (63.4 to 68.5)``."""
    if estimate is None or math.isnan(estimate.value):
        return "not known"
    return f"{100 * estimate.value:.1f} % ({_ends(estimate, '.1f', factor=100)})"


def points(estimate: Estimate | None) -> str:
    """Write a change of a win rate in points, such as ``+4.2 points (+3.1 to +5.3)``."""
    if estimate is None or math.isnan(estimate.value):
        return "not known"
    return f"{100 * estimate.value:+.1f} points ({_ends(estimate, '+.1f', factor=100)})"


def number(estimate: Estimate) -> str:
    """Write a number with its interval."""
    if math.isnan(estimate.value):
        return "not known"
    return f"{estimate.value:.2f} ({_ends(estimate, '.2f')})"


def _ends(estimate: Estimate, form: str, *, factor: float = 1.0) -> str:
    if not math.isfinite(estimate.high - estimate.low):
        return "interval not known"
    return f"{factor * estimate.low:{form}} to {factor * estimate.high:{form}}"


def lines(report: BiasReport) -> Iterator[Line]:
    """Yield what was found, a line for each quantity."""
    yield from _order(report)
    yield from _style(report)
    yield from _favour(report)
    yield from _people(report)


def _order(report: BiasReport) -> Iterator[Line]:
    heading, position = "Order", report.position
    merged = report.consistency.n_merged > 0
    meaning = "the orders were merged elsewhere" if merged else "only one order was judged"
    if not math.isnan(position.value):
        meaning = _sign(position, "the first place is favoured", "the second place is favoured")
    yield Line(heading=heading, what="first place", value=points(position), meaning=meaning)
    agreed = report.consistency
    if agreed.share.n:
        n_changed = round((1 - agreed.share.value) * agreed.share.n)
        told = f"{n_changed} of {agreed.share.n} change"
        if not agreed.n_merged:
            told += f": {agreed.n_to_first} to the first place, {agreed.n_to_second} to the second"
        yield Line(
            heading=heading, what="same in both orders", value=percent(agreed.share), meaning=told
        )


def _style(report: BiasReport) -> Iterator[Line]:
    heading, longer = "Length and style", report.longer_wins
    if longer is not None:
        people = f"by people {percent(longer.humans)}" if longer.humans is not None else ""
        yield Line(
            heading=heading,
            what="longer answer wins",
            value=percent(longer.judge),
            meaning=people,
        )
    for style in report.styles:
        beyond = style.beyond_humans
        yield Line(
            heading=heading,
            what=f"more {_NOUNS[style.feature]}",
            value=points(style.effect),
            meaning="merit included" if beyond is None else f"beyond people {points(beyond)}",
        )


_NOUNS = {
    "length": "length",
    "headings": "headings",
    "lists": "list items",
    "bold": "bold passages",
    "code": "code blocks",
}


def _favour(report: BiasReport) -> Iterator[Line]:
    own = report.self_preference
    if own is not None:
        equal = own.at_equal_style
        yield Line(
            heading="Its own answers",
            what=", ".join(own.models),
            value=points(own.effect),
            meaning=f"beyond {own.compared_with}"
            + (f"; at equal style {points(equal)}" if equal is not None else ""),
        )
    if report.ties is not None:
        people, difference = report.ties.people, report.ties.difference
        told = []
        if report.consistency.share.value < 1:
            told.append("orders that disagree may be among them")
        if people is not None:
            told.append(f"by people {percent(people)}, difference {points(difference)}")
        yield Line(
            heading="Ties",
            what="share of ties",
            value=percent(report.ties.judge),
            meaning="; ".join(told),
        )


def _people(report: BiasReport) -> Iterator[Line]:
    if report.agreement is not None:
        heading, between = "Agreement with people", report.agreement.between_people
        with_people = report.agreement.with_people
        rows = (
            ("all votes", "share", "kappa"),
            ("votes without ties", "share_decided", "kappa_decided"),
        )
        for what, share, kappa in rows:
            among = "" if between is None else f"; people {percent(getattr(between, share))}"
            yield Line(
                heading=heading,
                what=what,
                value=percent(getattr(with_people, share)),
                meaning=f"κ {number(getattr(with_people, kappa))}{among}",
            )
        for name, agreement in report.agreement.by_category.items():
            yield Line(
                heading=heading,
                what=name,
                value=percent(agreement.share),
                meaning=f"κ {number(agreement.kappa)}",
            )
    if report.calibration is not None:
        slope = report.calibration.slope
        yield Line(
            heading="Calibration",
            what="slope to people",
            value=number(slope),
            meaning=_sign_around_one(slope),
        )
        for item in report.calibration.bins:
            yield Line(
                heading="Calibration",
                what=f"sure from {100 * item.low:.0f} to {100 * item.high:.0f} %",
                value=percent(item.people),
                meaning=f"of people agree; the judge said {100 * item.judge:.1f} % ({item.n})",
            )


def _sign(estimate: Estimate, above: str, below: str) -> str:
    if estimate.low > 0:
        return above
    return below if estimate.high < 0 else "no bias shown"


def _sign_around_one(slope: Estimate) -> str:
    if slope.high < 1:
        return "the judge exaggerates differences"
    return "the judge understates differences" if slope.low > 1 else "in scale with people"
