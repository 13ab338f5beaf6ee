"""The ``parity`` command: a table of commands, and what happens when one fails."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

import arena.cli
import arena.export.cli
import arena.studies.cli
import evalcore.cli
import evalcore.judges.bias.cli
import evalcore.judges.cli
import evalcore.stacking.cli
import evalcore.stats.cli
import leaderboards.cli
import reports.cli
import runners.cli
from evalcore import __version__
from evalcore.errors import ParityError

__all__ = ["main"]

COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": evalcore.cli.demo,
    "eval": evalcore.cli.evaluate,
    "generate": evalcore.cli.generate,
    "run": evalcore.cli.run,
    "stack": evalcore.stacking.cli.stack,
    "arena": arena.cli.arena,
    "leaderboard": leaderboards.cli.leaderboard,
    "report": reports.cli.report,
    "rate": evalcore.stats.cli.rate,
    "compare": evalcore.stats.cli.compare,
    "plan": evalcore.stats.cli.plan,
    "export": arena.export.cli.export,
    "tasks": evalcore.cli.tasks,
    "models": runners.cli.models,
    "doctor": runners.cli.doctor,
}

GROUPS: dict[str, tuple[Callable[..., Any], dict[str, Callable[..., Any]]]] = {
    "judge": (evalcore.judges.cli.judge, {"report": evalcore.judges.bias.cli.report}),
    "study": (
        arena.studies.cli.study,
        {
            "links": arena.studies.cli.links,
            "report": arena.studies.cli.report,
            "lock": arena.studies.cli.lock,
            "verify": arena.studies.cli.verify,
        },
    ),
}
"""Commands that do something by themselves and have others below them."""

INTERRUPTED = 130
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for name, command in COMMANDS.items():
    app.command(name)(command)
for name, (command, below) in GROUPS.items():
    group = typer.Typer(invoke_without_command=True)
    group.callback()(command)
    for sub_name, sub_command in below.items():
        group.command(sub_name)(sub_command)
    app.add_typer(group, name=name)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Say whether a language model is as good as another one, and how sure that is."""


def main() -> None:
    """Run the command line; exit code 0, 2 for bad input, 3 for incomplete, 130 interrupted."""
    try:
        app()
    except ParityError as error:
        _fail(str(error), error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's own way to end when Ctrl-C is pressed
            _fail("interrupted; what was done is kept, the same command goes on", INTERRUPTED)
        raise
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _fail(f"{error.filename or 'output'}: {error.strerror}", ParityError.exit_code)


def _fail(message: str, code: int) -> None:
    print(f"parity: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
