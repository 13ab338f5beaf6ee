"""The ``parity`` command: a table of commands, and what happens when one fails."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

import evalcore.cli
from evalcore import __version__
from evalcore.errors import ParityError

__all__ = ["main"]

COMMANDS: dict[str, Callable[..., Any]] = {
    "eval": evalcore.cli.evaluate,
    "generate": evalcore.cli.generate,
    "run": evalcore.cli.run,
    "tasks": evalcore.cli.tasks,
}

INTERRUPTED = 130
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for name, command in COMMANDS.items():
    app.command(name)(command)


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Say whether a language model is as good as another one, and how sure that is."""
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; exit code 0, 2 for bad input, 3 for incomplete, 130 interrupted."""
    try:
        app()
    except ParityError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail(
            "interrupted; what was done is kept, the same command goes on from there", INTERRUPTED
        )
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _fail(f"{error.filename or 'output'}: {error.strerror}", ParityError.exit_code)


def _fail(message: str, code: int) -> None:
    print(f"parity: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
