"""The commands ``parity study links``, ``report``, ``lock`` and ``verify``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from evalcore.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from arena.studies.registry import RegisteredStudy
    from arena.studies.report import StudyReport

__all__ = ["links", "lock", "report", "study", "verify"]

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The study's name.")]


def study(context: typer.Context) -> None:
    """Studies: links for raters, the report, the locked export."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def links(
    name: NameArgument,
    number: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many.")] = 1,
    url: Annotated[str, typer.Option(help="Where the arena is served.")] = "http://127.0.0.1:7860/",
    first: Annotated[int, typer.Option(min=1, help="Number of the first addressee.")] = 1,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print links that sign their addressees in to a study, the same ones every time."""
    from urllib.parse import urlencode

    from arena.identity import Identity
    from arena.keys import Keys
    from arena.settings import ArenaSettings, load_secret

    with _opened(name, workspace, store) as (found, _connection):
        join = found.definition.join
    if join != "link":
        raise InputError(
            f"links need join: link in the file of study {name!r}; it has join: {join}"
        )
    secret = load_secret(workspace)
    identity = Identity(Keys(secret), ArenaSettings(secret=secret))
    made = [
        {
            "addressee": str(addressee),
            "link": f"{url}?{urlencode({'link': identity.link(name, str(addressee))})}",
        }
        for addressee in range(first, first + number)
    ]
    if as_json:
        print_json(made)
    else:
        for row in made:
            print(row["link"])


def report(
    name: NameArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Ends in .html or .md; without, print."
        ),
    ] = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report a study as it stands: results, agreement, raters, with and without flagged ones."""
    from arena.studies.report import markdown_report, report_form, study_report

    with _opened(name, workspace, store) as (registered, connection):
        found = study_report(connection, registered)
    if output is not None:
        _write_report(found, output)
    if as_json:
        print_json(report_form(found))
    elif output is None:
        print(markdown_report(found))


def lock(
    name: NameArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="New folder for the export.")
    ],
    actor: Annotated[str, typer.Option(help="Who does it, for the audit log.")] = "command line",
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a study for good; write and hash all that it holds."""
    from arena.studies.lock import lock_study
    from evalcore.store import open_store

    with open_store(workspace, store, create=False) as opened:
        export_hash = lock_study(opened, name, output, actor=actor)
    if as_json:
        print_json({"study": name, "export": str(output), "export_hash": export_hash})
    else:
        print(f"{output}: locked, sha256 of its manifest {export_hash}")


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A study's export.")],
    name: Annotated[
        str | None, typer.Option("--study", help="Also compare with the hash in the workspace.")
    ] = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that an export is what was locked."""
    from arena.studies.lock import verify_export

    found = verify_export(folder)
    if name is not None:
        with _opened(name, workspace, store) as (registered, _connection):
            locked = registered.export_hash
        if locked != found:
            raise InputError(f"{folder}: hash {found} is not that of study {name!r}, {locked}")
    if as_json:
        print_json({"export": str(folder), "export_hash": found})
    else:
        print(f"{folder}: unchanged, sha256 of its manifest {found}")


@contextmanager
def _opened(
    name: str, workspace: Path, store: str | None
) -> Iterator[tuple[RegisteredStudy, Connection]]:
    from arena.studies.registry import load_study
    from evalcore.store import open_store

    with (
        open_store(workspace, store, create=False) as opened,
        opened.engine.connect() as connection,
    ):
        yield load_study(connection, name), connection


def _write_report(found: StudyReport, output: Path) -> None:
    from arena.studies.report import html_report, markdown_report

    writers = {".html": html_report, ".md": markdown_report}
    if output.suffix not in writers:
        raise InputError(f"--output must end in {' or '.join(writers)}; got {output}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(writers[output.suffix](found), encoding="utf-8")
    except OSError as error:
        raise InputError(f"report {output} can't be written: {error.strerror}") from error
