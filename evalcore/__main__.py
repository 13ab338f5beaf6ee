"""The ``parity`` command: a table of commands, and what happens when one fails."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, NoReturn

import typer

import arena.cli
import arena.studies.cli
import evalcore.cli
import evalcore.exchange.cli
import evalcore.judges.bias.cli
import evalcore.judges.cli
import evalcore.quantlab.cli
import evalcore.reproductions.cli
import evalcore.stacking.cli
import evalcore.stats.cli
import leaderboards.cli
import reports.cli
import runners.cli
from evalcore import __version__
from evalcore.errors import ParityError
from evalcore.visible import visible

__all__ = ["main"]

COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": evalcore.cli.demo,
    "eval": evalcore.cli.evaluate,
    "generate": evalcore.cli.generate,
    "run": evalcore.cli.run,
    "stack": evalcore.stacking.cli.stack,
    "quantize-check": evalcore.quantlab.cli.quantize_check,
    "arena": arena.cli.arena,
    "report": reports.cli.report,
    "rate": evalcore.stats.cli.rate,
    "compare": evalcore.stats.cli.compare,
    "plan": evalcore.stats.cli.plan,
    "reproduce": evalcore.reproductions.cli.reproduce,
    "import": evalcore.exchange.cli.import_,
    "export": evalcore.exchange.cli.export,
    "tasks": evalcore.cli.tasks,
    "models": runners.cli.models,
    "doctor": runners.cli.doctor,
    "convert": runners.cli.convert,
}

GROUPS: dict[str, tuple[Callable[..., Any], dict[str, Callable[..., Any]]]] = {
    "judge": (evalcore.judges.cli.judge, {"report": evalcore.judges.bias.cli.report}),
    "leaderboard": (
        leaderboards.cli.leaderboard,
        {
            "snapshot": leaderboards.cli.snapshot,
            "snapshots": leaderboards.cli.snapshots,
            "show": leaderboards.cli.show,
            "diff": leaderboards.cli.diff,
            "deprecate": leaderboards.cli.deprecate,
        },
    ),
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


# Plain text reads well in a terminal, in a file and in the documents.
_LOOK: Final = {"max_content_width": 100}


def _app(wanted: str | None) -> typer.Typer:
    """Build the command line with one command's options, or with all if none is named.

    To list the others their names are enough; reading the options of all takes 0.1 s.
    """
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None, context_settings=_LOOK)
    app.callback(invoke_without_command=True)(options)
    for name, command in COMMANDS.items():
        is_wanted = wanted in (name, None)
        app.command(name, short_help=_first_line(command))(command if is_wanted else _unread)
    for name, (command, below) in GROUPS.items():
        app.add_typer(
            _group(command, below) if wanted in (name, None) else _group(_unread, {}),
            name=name,
            short_help=_first_line(command),
        )
    return app


def _group(command: Callable[..., Any], below: Mapping[str, Callable[..., Any]]) -> typer.Typer:
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    group.callback()(command)
    for name, sub_command in below.items():
        group.command(name, short_help=_first_line(sub_command))(sub_command)
    return group


def _unread() -> None:
    """Stand for a command that is only listed."""


def _wanted(arguments: Sequence[str]) -> str | None:
    """Return the command that arguments name, an empty name without one; None while completing."""
    if "_PARITY_COMPLETE" in os.environ:
        return None
    return next((argument for argument in arguments if not argument.startswith("-")), "")


def _first_line(command: Callable[..., Any]) -> str:
    """Return what the list of commands says of one, whole."""
    return (command.__doc__ or "").partition("\n")[0]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Say whether a language model is as good as another one, and how sure that is."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command line; exit code 0, 2 for bad input, 3 for incomplete, 130 interrupted."""
    try:
        code = _app(_wanted(sys.argv[1:]))(prog_name="parity", standalone_mode=False)
    except ParityError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        _fail(_usage(error), ParityError.exit_code)
    except OSError as error:
        if error.filename is None and error.errno not in _NO_ROOM:
            raise
        _fail(f"{error.filename or 'output'}: {error.strerror}", ParityError.exit_code)
    except Exception as error:
        if KeyboardInterrupt.__name__ not in str(error):
            raise
        code = INTERRUPTED  # pydantic has made an error of it, while MLflow was loaded
    if code == INTERRUPTED:  # typer's own way to end when Ctrl-C is pressed
        _fail("interrupted; what was finished is kept, the same command goes on", INTERRUPTED)
    sys.exit(code or 0)


def _usage(error: typer.TyperException) -> str:
    """Say in one line what is wrong with the arguments, and where their help is."""
    told = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    # An option without its value is told before there is a context.
    where = context.command_path if context else f"parity {_wanted(sys.argv[1:])}".rstrip()
    return f"{' '.join(told.split()).rstrip('.')}; see {where} --help"


def _fail(message: str, code: int) -> NoReturn:
    print(f"parity: {visible(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
