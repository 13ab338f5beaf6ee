"""What is known of each backend, in one table: a new one is a module, its line here, and the tests.

A module of the table has a :class:`Backend` named ``BACKEND``. It is imported when the first model
of its kind is named, and imports what is heavy when the first is opened. docs/backends.md tells how
to write one, and tests/test_conformance.py what its runner has to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from evalcore.errors import ModelError
from evalcore.protocols import Runner
from evalcore.records import ModelSpec

if TYPE_CHECKING:
    from runners.options import RunnerOptions

__all__ = ["BACKENDS", "Backend", "Resident", "backend", "without_template"]

BACKENDS: Final[Mapping[str, str]] = {
    "hf": "runners.hf.backend",
    "zoo": "runners.zoo.backend",
    "gguf": "runners.gguf.backend",
    "vllm": "runners.vllm_engine.backend",
    "openai": "runners.endpoint.backend",
    "fake": "runners.fake",
}
"""The module of each backend, by what its model strings begin with."""


class Resident(Protocol):
    """A base in memory that serves any variant of itself."""

    def runner(self, spec: ModelSpec) -> Runner:
        """Return a runner of one of its variants."""

    def close(self) -> None:
        """Give back the memory."""


def without_template(spec: ModelSpec) -> ModelSpec:
    """Return what has to be in memory; a chat template is applied to text, not to the base."""
    return replace(spec.base, chat_template=None)


def _as_it_is(spec: ModelSpec) -> ModelSpec:
    return spec


def _nothing(_spec: ModelSpec) -> None:
    return None


def _no_files(_spec: ModelSpec) -> tuple[Path, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What a backend permits and how its models come to run."""

    kind: str
    """A model of it in words, such as ``an endpoint``, for errors."""
    read: Callable[[str, Mapping[str, str]], ModelSpec]
    """Makes an unresolved spec without a name and adapters of what follows the backend's name in a
    model string and of its settings; refuses settings that are unknown."""
    open: Callable[[ModelSpec, RunnerOptions], Resident]
    """Loads what :attr:`shared` returned."""
    resolve: Callable[[ModelSpec], ModelSpec] = _as_it_is
    """Finds and checks the files of a spec, and fills in their hashes and what follows from them;
    a resolved spec comes back unchanged."""
    shared: Callable[[ModelSpec], ModelSpec] = without_template
    """What of a resolved spec has to be resident: specs for which it is equal share one base."""
    prepare: Callable[[ModelSpec], None] = _nothing
    """Finds what would keep a resolved spec from running, before the first model is loaded."""
    files: Callable[[ModelSpec], Sequence[Path]] = _no_files
    """The files of a resolved spec that its fingerprint depends on, where they are here."""
    plan_key: Callable[[ModelSpec], str | None] = _nothing
    """What the plans of a :class:`~evalcore.protocols.PlanningRunner` depend on besides base and
    requests; None if the runner of this spec is none."""
    window: Callable[[ModelSpec], int | None] = _nothing
    """Most tokens that a resolved spec's model reads at once; None where nothing says it."""
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "float16")
    """Permitted, by their canonical names."""
    quantizations: tuple[str, ...] = ()
    """What ``?quant=`` permits."""
    takes_adapters: bool = False
    packages: tuple[str, ...] = ()
    """Distributions whose version can change a number."""
    why_not: Callable[[], str | None] = lambda: None
    """The reason why nothing of it can be run in this installation, in one line; None if it can."""


@cache
def backend(name: str) -> Backend:
    """Return a backend by its name.

    Raises
    ------
    ModelError
        If there is none; lists the names.
    """
    if name not in BACKENDS:
        raise ModelError(f"backend must be one of {', '.join(BACKENDS)}; got {name!r}")
    found: Backend = import_module(BACKENDS[name]).BACKEND
    return found
