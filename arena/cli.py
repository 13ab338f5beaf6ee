"""The command ``parity arena``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from evalcore.errors import InputError

if TYPE_CHECKING:
    from arena.live.opening import Live
    from arena.live.settings import LiveSettings
    from arena.serving import Address
    from arena.settings import ArenaSettings
    from evalcore.records import Example
    from evalcore.store import Store

__all__ = ["arena"]


def arena(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Model string, such as zoo:tiny or hf:DIR+lora:DIR*0.5; at least two.",
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option("--study", metavar="FILE", help="Serve a study instead of live battles."),
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option("--users", metavar="FILE", help="Accounts of raters and administrators."),
    ] = None,
    add_user: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE:NAME", help="Put an admin or rater into --users, ask its password, end."
        ),
    ] = None,
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings", metavar="FILE", help="YAML: consent, limits, proxies, retention, title."
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="The bundled tiny family, with prompts of its own.")
    ] = False,
    prompts: Annotated[
        list[Path] | None,
        typer.Option(
            "--prompts", "-p", metavar="FILE", help="To draw from when none is typed; repeatable."
        ),
    ] = None,
    policy: Annotated[
        Literal["uniform", "fewest", "active"],
        typer.Option(help="Which models meet: any, those with fewest votes, those that tell most."),
    ] = "fewest",
    top_k: Annotated[int, typer.Option(min=1, help="What active settles: the best so many.")] = 1,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer in tokens; 512, for --demo 64.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.7,
    moderation: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="A word a line, or a /moderations endpoint."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 7860,
    browser: Annotated[bool, typer.Option(help="Open the link in a browser.")] = True,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the blind voting page: visitors ask, two models answer, names come after the vote."""
    from arena.admin.pages import with_admin
    from arena.board.page import with_board
    from arena.live.moderation import open_moderator
    from arena.live.opening import live_arena, open_live
    from arena.live.source import Drawing
    from arena.page.layout import page_of
    from arena.service import create_app
    from arena.serving import Address, serve
    from arena.settings import ArenaSettings, load_secret
    from arena.settings_file import with_file
    from evalcore.store import open_store
    from leaderboards.reading import reader
    from runners.commandline import resolved_models

    if add_user is not None:
        _add_user(add_user, users)
        return
    settings = ArenaSettings(secret=load_secret(workspace), users_file=users)
    if settings_file is not None:
        settings = with_file(settings, settings_file)
    address = Address(host=host, port=port, trusted_proxies=settings.trusted_proxies)
    announce = partial(_announce, browser=browser, as_json=as_json)
    if study is not None:
        if demo or model or prompts:
            raise InputError("--study brings its models and prompts: leave out -m, -p and --demo")
        with open_store(workspace, store) as opened:
            _serve_study(opened, study, settings=settings, address=address, announce=announce)
        return
    strings, examples = _models(model or [], demo), _prompts(prompts or [], demo)
    limits = _limits(demo, max_new_tokens, temperature)
    moderator = None if moderation is None else open_moderator(moderation)
    specs = resolved_models(strings)
    drawing = Drawing(policy=policy, top_k=top_k, prompts=examples)
    live = open_live(specs, drawing, settings=limits, moderator=moderator)
    with (
        open_store(workspace, store) as opened,
        _models_behind(live) as load,
        live_arena(opened, live, settings=settings) as running,
    ):

        def ready(link: str) -> None:
            load()
            announce(link)

        page = page_of(running, live.maker.drafts)
        page = with_board(reader(opened), page)
        app = create_app(running, mount=with_admin(running, opened, page))
        serve(app, address, ready=ready)


def _add_user(given: str, users: Path | None) -> None:
    from typing import get_args

    from arena.accounts import Role, add_user

    role, _, name = given.partition(":")
    roles: dict[str, Role] = {known: known for known in get_args(Role)}
    if users is None or role not in roles:
        raise InputError(f"--add-user needs --users and {' or '.join(roles)}:NAME; got {given!r}")
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    add_user(users, name, password, role=roles[role])
    print(f"{users}: {role} {name} added")


def _serve_study(
    store: Store,
    path: Path,
    *,
    settings: ArenaSettings,
    address: Address,
    announce: Callable[[str], None],
) -> None:
    from arena.admin.pages import with_admin
    from arena.page.layout import page_of
    from arena.service import create_app
    from arena.serving import serve
    from arena.studies.opening import answers_shown, study_arena

    with study_arena(store, path, settings=settings) as (running, definition):
        page = page_of(running, n_answers=answers_shown(definition))
        app = create_app(running, mount=with_admin(running, store, page))
        serve(app, address, ready=announce)


@contextmanager
def _models_behind(live: Live) -> Iterator[Callable[[], None]]:
    """Yield what begins to load the models, in a thread, so that the page is there before them.

    An error ends the service, and is raised here.
    """
    from runners import open_together

    begins, ends, errors = threading.Event(), threading.Event(), []
    caller = threading.get_ident()

    def work() -> None:
        begins.wait()
        try:
            if not ends.is_set():
                with open_together(live.models) as groups:
                    live.connect(groups)
                    ends.wait()
        except Exception as error:
            # Raised again where the service ends, which a model that can't be loaded brings about.
            errors.append(error)
            if not ends.is_set():
                signal.pthread_kill(caller, signal.SIGINT)

    thread = threading.Thread(target=work, name="arena-models", daemon=True)
    thread.start()
    try:
        yield begins.set
    finally:
        ends.set()
        begins.set()
        thread.join()
        if errors:
            raise errors[0]


def _models(strings: list[str], demo: bool) -> list[str]:
    if not demo:
        if len(strings) < 2:
            raise InputError(f"live battles need at least two models (-m); got {len(strings)}")
        return strings
    from arena.live.demo import DEMO_MODELS

    return [*DEMO_MODELS, *strings]


def _prompts(files: list[Path], demo: bool) -> list[Example]:
    from arena.live.demo import demo_prompts
    from evalcore.images import check_no_images
    from evalcore.tasks.prompt_sets import read_prompts

    own = [example for file in files for example in read_prompts(file)]
    check_no_images(own, who="the arena")
    return own or (demo_prompts() if demo else [])


def _limits(demo: bool, max_new_tokens: int | None, temperature: float) -> LiveSettings:
    from dataclasses import replace

    from arena.live.demo import DEMO_SETTINGS
    from arena.live.settings import LiveSettings

    limits = DEMO_SETTINGS if demo else LiveSettings()
    n_tokens = max_new_tokens or limits.params.max_new_tokens
    params = replace(limits.params, max_new_tokens=n_tokens, temperature=temperature)
    return replace(limits, params=params)


def _announce(link: str, *, browser: bool, as_json: bool) -> None:
    import webbrowser

    if as_json:
        print_json({"link": link})
    else:
        print(f"The arena is open: {link}", flush=True)
    if browser:
        webbrowser.open(link)
