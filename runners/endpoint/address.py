"""``openai:MODEL@URL?…``: where a served model is, how it is reached, and with which key."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from evalcore.errors import ModelError
from evalcore.records import ModelSpec
from runners.endpoint.prices import Price, known_price, parse_price

__all__ = ["Endpoint", "api_key", "endpoint_of", "endpoint_spec"]

_OPENAI_HOST: Final = "api.openai.com"
_OPENAI_KEY: Final = "OPENAI_API_KEY"
_EXAMPLE: Final = "openai:gpt-4o@https://api.openai.com/v1"
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_OUTPUT_SETTINGS: Final = ("omit", "scoring", "serves")
_ACCESS_SETTINGS: Final = ("concurrency", "key_env", "price", "retries", "rpm", "timeout", "tpm")
_SETTINGS: Final = tuple(sorted(_OUTPUT_SETTINGS + _ACCESS_SETTINGS))
_SCORINGS: Final = ("echo", "vllm")
_OMITTABLE: Final = ("seed", "stop", "temperature", "top_p")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A served model and how it is reached."""

    model: str
    """As the server knows it."""
    url: str
    """Base URL without a slash at its end, such as ``https://api.openai.com/v1``."""
    serves: str | None = None
    """Name that the server has to answer with; None means the model's own, or a dated one of it."""
    omit: frozenset[str] = frozenset()
    """Sampling parameters that the server refuses, so that they aren't sent."""
    scoring: str = "echo"
    """How log-likelihoods are asked: ``echo``, or by tokens as ``vllm`` permits."""
    key_env: str | None = None
    """Environment variable that holds the API key; None means that none is sent."""
    concurrency: int = 16
    """Most calls in flight."""
    requests_per_minute: float = math.inf
    tokens_per_minute: float = math.inf
    timeout_s: float = 300.0
    """Longest that one attempt may take."""
    retries: int = 5
    """Most attempts after the first."""
    price: Price | None = None
    """None if it is unknown, or nothing is paid."""

    @property
    def host(self) -> str:
        """Host name in small letters."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_private(self) -> bool:
        """Whether the server is on this machine or in its network, where nobody is paid."""
        try:
            return not ip_address(self.host).is_global
        except ValueError:
            return "." not in self.host or self.host.endswith((".local", ".internal", ".localhost"))


def endpoint_spec(where: str, settings: Mapping[str, str]) -> ModelSpec:
    """Read what follows ``openai:`` in a model string.

    Parameters
    ----------
    where
        ``MODEL@URL``.
    settings
        By name, as written. ``omit``, ``scoring`` and ``serves`` change or bind what is answered
        and are part of the fingerprint, as the URL is; the others only say how the server is
        reached.

    Returns
    -------
    ModelSpec
        Without a name.

    Raises
    ------
    ModelError
        For what can't be read; a password or key in it is not repeated.
    """
    model, at, url = _split(where)
    if not model or not at:
        raise ModelError(f"an endpoint must be openai:MODEL@URL, such as {_EXAMPLE}")
    for key in settings:
        _check_setting(key)
    chosen = {key: value for key, value in settings.items() if key in _OUTPUT_SETTINGS}
    access = {key: value for key, value in settings.items() if key in _ACCESS_SETTINGS}
    spec = ModelSpec(
        name="",
        backend="openai",
        weights=model,
        options=tuple(sorted({**chosen, "url": _base_url(url)}.items())),
        access=tuple(sorted(access.items())),
    )
    endpoint_of(spec)
    return spec


def endpoint_of(spec: ModelSpec) -> Endpoint:
    """Return what a spec of backend ``openai`` says.

    Raises
    ------
    ModelError
        For a setting with a value that can't be used.
    """
    said = dict(spec.options) | dict(spec.access)
    url = said["url"]
    host = urlsplit(url).hostname or ""
    omit = frozenset(filter(None, said.get("omit", "").split(",")))
    if not omit <= set(_OMITTABLE):
        raise ModelError(f"omit must name some of {', '.join(_OMITTABLE)}; got {said['omit']!r}")
    scoring = said.get("scoring", "echo")
    if scoring not in _SCORINGS:
        raise ModelError(f"scoring must be one of {', '.join(_SCORINGS)}; got {scoring!r}")
    price = parse_price(said["price"]) if "price" in said else known_price(spec.weights, host)
    return Endpoint(
        model=spec.weights,
        url=url,
        serves=said.get("serves"),
        omit=omit,
        scoring=scoring,
        key_env=_key_variable(said.get("key_env"), host),
        concurrency=int(_number(said, "concurrency", 16, least=1)),
        requests_per_minute=_number(said, "rpm", math.inf, least=1),
        tokens_per_minute=_number(said, "tpm", math.inf, least=1),
        timeout_s=_number(said, "timeout", 300, least=0.001),
        retries=int(_number(said, "retries", 5, least=0)),
        price=price,
    )


def api_key(endpoint: Endpoint) -> str | None:
    """Return the key from the environment; None where none is sent.

    Raises
    ------
    ModelError
        If the variable isn't set; it is named.
    """
    if endpoint.key_env is None:
        return None
    key = os.environ.get(endpoint.key_env, "").strip()
    if not key:
        raise ModelError(
            f"environment variable {endpoint.key_env} must hold the API key for {endpoint.host}; "
            "it is not set"
        )
    return key


def _split(where: str) -> tuple[str, str, str]:
    for scheme in ("@http://", "@https://"):
        model, at, rest = where.partition(scheme)
        if at:
            return model, at, scheme[1:] + rest
    return where, "", ""


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ModelError(f"an endpoint's URL can't be read; use one such as {_EXAMPLE}") from None
    if parts.username is not None or parts.password is not None:
        raise ModelError("an endpoint's URL must hold no user or password; use ?key_env=VARIABLE")
    if not parts.hostname or port == 0:
        raise ModelError(f"an endpoint's URL must name a host, as in {_EXAMPLE}; got {text!r}")
    return text.rstrip("/")


def _check_setting(key: str) -> None:
    if key in ("key", "api_key", "token"):
        raise ModelError("a key comes from the environment only: use ?key_env=VARIABLE")
    if key not in _SETTINGS:
        raise ModelError(f"an endpoint's settings are {', '.join(_SETTINGS)}; got {key!r}")


def _key_variable(said: str | None, host: str) -> str | None:
    """Send a key where one is named, and OpenAI's own to OpenAI alone."""
    if said is None:
        return _OPENAI_KEY if host == _OPENAI_HOST else None
    if not _VARIABLE.fullmatch(said):
        # It may be the key itself, so it isn't repeated.
        raise ModelError(
            "key_env must be the name of an environment variable, in capitals, such as "
            f"{_OPENAI_KEY}"
        )
    return said


def _number(said: Mapping[str, str], key: str, default: float, *, least: float) -> float:
    if key not in said:
        return default
    try:
        number = float(said[key])
    except ValueError:
        number = math.nan
    is_whole = key not in ("concurrency", "retries") or number.is_integer()
    if not (math.isfinite(number) and number >= least and is_whole):
        kind = "a whole number" if key in ("concurrency", "retries") else "a number"
        raise ModelError(f"{key} must be {kind} of at least {least:g}; got {said[key]!r}")
    return number
