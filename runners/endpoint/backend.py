"""``openai:MODEL@URL[?key_env=VARIABLE&rpm=3000&…]``: a served model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalcore.records import ModelSpec
from runners.backends import Backend
from runners.endpoint.address import api_key, endpoint_of, endpoint_spec

if TYPE_CHECKING:
    from runners.endpoint.runner import EndpointResident
    from runners.options import RunnerOptions

__all__ = ["BACKEND"]


def _open(_spec: ModelSpec, options: RunnerOptions) -> EndpointResident:
    from runners.endpoint.runner import EndpointResident

    return EndpointResident(options.budget)


def _check_key(spec: ModelSpec) -> None:
    api_key(endpoint_of(spec))


BACKEND = Backend(
    kind="an endpoint",
    read=endpoint_spec,
    open=_open,
    prepare=_check_key,
    packages=("openai",),
)
