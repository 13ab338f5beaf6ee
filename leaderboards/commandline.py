"""Options of commands that show a leaderboard, or mirror something in MLflow."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from leaderboards.request import BoardRequest

__all__ = ["BoardOptions", "SyncOption", "TrackingUriOption", "with_board_options"]

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
UnderWayOption = Annotated[
    bool,
    typer.Option("--under-way", help="Count people's votes in studies that are under way, too."),
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
_MARGIN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOptions:
    """Which leaderboard, as the options of a command say it."""

    task: TaskOption = None
    model: ModelOption = None
    by: ByOption = None
    raters: RatersOption = None
    reference: ReferenceOption = None
    margin: MarginOption = _MARGIN
    category: CategoryOption = None
    licence: LicenceOption = None
    open_stack: OpenStackOption = False
    size: SizeOption = None
    quantization: QuantizationOption = None
    common: CommonOption = False
    under_way: UnderWayOption = False

    def request(self) -> BoardRequest:
        """Check them.

        Raises
        ------
        InputError
            For a value that is not permitted.
        """
        from leaderboards.asking import board_request

        return board_request(
            tasks=self.task,
            models=self.model,
            by=self.by,
            raters=self.raters,
            reference=self.reference,
            margin=self.margin,
            category=self.category,
            licences=self.licence,
            open_stack=self.open_stack,
            size=self.size,
            quantizations=self.quantization,
            common=self.common,
            under_way=self.under_way,
        )

    def arguments(self) -> list[str]:
        """Write them as they are given on a command line; those left as they were are left out."""
        said: list[str] = []
        for option in fields(self):
            flag = _SHORT.get(option.name) or f"--{option.name.replace('_', '-')}"
            value = getattr(self, option.name)
            if value is True:
                said.append(flag)
            elif isinstance(value, list):
                said += [part for one in value for part in (flag, one)]
            elif value and value != option.default:
                said += [flag, value if isinstance(value, str) else f"{value:g}"]
        return said


_SHORT = {"task": "-t", "model": "-m"}


def with_board_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a leaderboard in place of its parameter ``options``."""
    own = get_type_hints(command, include_extras=True)
    given = get_type_hints(BoardOptions, include_extras=True)
    board = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=given[option.name],
        )
        for option in fields(BoardOptions)
    ]
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name == "options":
            parameters += board
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(kind=kind, annotation=own[parameter.name]))

    @wraps(command)
    def wrapped(**values: Any) -> None:
        options = BoardOptions(**{option.name: values.pop(option.name) for option in board})
        command(options=options, **values)

    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
    return wrapped
