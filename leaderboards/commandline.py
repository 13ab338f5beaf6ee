"""Options of commands that show a leaderboard, or mirror something in MLflow."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "ByOption",
    "CategoryOption",
    "CommonOption",
    "LicenceOption",
    "MarginOption",
    "ModelOption",
    "OpenStackOption",
    "QuantizationOption",
    "RatersOption",
    "ReferenceOption",
    "SizeOption",
    "SyncOption",
    "TaskOption",
    "TrackingUriOption",
]

TaskOption = Annotated[
    list[str] | None,
    typer.Option("--task", "-t", metavar="TASK", help="Rank by these tasks only; repeatable."),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", metavar="NAME", help="Rank these models only; repeatable."),
]
ByOption = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="WHAT", help="Rank by score, human, judge or rule; the first there is."
    ),
]
RatersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--raters",
        metavar="KIND",
        help="Show comparisons of this kind: human, judge, rule or simulated; repeatable. "
        "Without it, all but simulated ones.",
    ),
]
ReferenceOption = Annotated[
    str | None,
    typer.Option("--reference", metavar="NAME", help="Compare every model with this one."),
]
MarginOption = Annotated[
    float, typer.Option(help="Half-width of parity with the reference: 0.05 is 45 % to 55 %.")
]
CategoryOption = Annotated[
    str | None, typer.Option("--category", help="Only examples of this category.")
]
LicenceOption = Annotated[
    list[str] | None,
    typer.Option("--licence", metavar="NAME", help="Only models under it; repeatable."),
]
OpenStackOption = Annotated[
    bool, typer.Option("--open-stack", help="Only models with open weights, data and code.")
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="FROM-TO", help="Only models of so many parameters: 1B-7B, -3B, 500M-."
    ),
]
QuantizationOption = Annotated[
    list[str] | None,
    typer.Option("--quantization", metavar="NAME", help="Only so quantised, or none; repeatable."),
]
CommonOption = Annotated[
    bool,
    typer.Option("--common", help="Only comparisons on examples that every kind of rater saw."),
]
SyncOption = Annotated[bool, typer.Option("--sync", help="Mirror it in MLflow, too.")]
TrackingUriOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="MLflow to mirror it in; mlflow.db in DIR if not given.",
    ),
]
