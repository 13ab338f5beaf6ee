"""Options of commands that mirror something in MLflow."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["SyncOption", "TrackingUriOption"]

SyncOption = Annotated[bool, typer.Option("--sync", help="Mirror it in MLflow, too.")]
TrackingUriOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="MLflow to mirror it in; mlflow.db in DIR if not given.",
    ),
]
