"""What to call a variant."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import quote, urlencode

from evalcore.records import Combination, ModelSpec

__all__ = ["model_string", "public_place", "public_string", "slug"]

_LOCAL = re.compile(r"[/~.\\]|[A-Za-z]:[/\\]|file:")
"""How what is somewhere on a disk begins, unlike a hub's ``owner/name``."""
_NO_SLUG = re.compile(r"[^\w+*#() -]+")


def model_string(spec: ModelSpec) -> str:
    """Write the model string that a variant can be run by again.

    Examples
    --------
    >>> from evalcore.records import Adapter
    >>> stack = (Adapter(name="math", path="adapters/math", weight=0.5),)
    >>> model_string(
    ...     ModelSpec(name="m", backend="hf", weights="gpt", quantization="nf4", adapters=stack)
    ... )
    'hf:gpt?quant=nf4+lora:adapters/math*0.5'
    """
    settings = {
        "dtype": spec.dtype,
        "quant": spec.quantization,
        "template": spec.chat_template,
        **_combined(spec.combination),
        **dict(spec.options),
    }
    said = urlencode({key: value for key, value in settings.items() if value is not None}, safe="/")
    return "".join(
        [
            f"{spec.backend}:{spec.weights}",
            f"@{spec.revision}" if spec.revision else "",
            f"?{said}" if said else "",
            *(
                f"+lora:{adapter.path}" + (f"*{adapter.weight:g}" if adapter.weight != 1.0 else "")
                for adapter in spec.adapters
            ),
        ]
    )


def public_string(spec: ModelSpec) -> str:
    """Write the model string as others may see it: of places on a disk their last part only.

    Which files are meant, the fingerprint and the hash of the weights say, on every machine.

    Examples
    --------
    >>> from evalcore.records import Adapter
    >>> stack = (Adapter(name="math", path="/home/me/adapters/math"),)
    >>> public_string(
    ...     ModelSpec(name="m", backend="hf", weights="/home/me/models/gpt", adapters=stack)
    ... )
    'hf:…/gpt+lora:…/math'
    >>> public_string(ModelSpec(name="m", backend="hf", weights="owner/gpt"))
    'hf:owner/gpt'
    """
    shown = replace(
        spec,
        weights=public_place(spec.weights),
        chat_template=spec.chat_template and public_place(spec.chat_template),
        adapters=tuple(replace(one, path=public_place(one.path)) for one in spec.adapters),
        options=tuple((name, public_place(value)) for name, value in spec.options),
    )
    return model_string(shown).replace(quote("…"), "…")


def public_place(text: str) -> str:
    r"""Leave of a place on a disk its last part; anything else stays as it is.

    Examples
    --------
    >>> public_place("/home/me/models/gpt/"), public_place(r"C:\Users\me\gpt.gguf")
    ('…/gpt', '…/gpt.gguf')
    >>> public_place("owner/gpt"), public_place("nf4")
    ('owner/gpt', 'nf4')
    """
    if not _LOCAL.match(text):
        return text
    last = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return f"…/{last}"


def _combined(combination: Combination | None) -> dict[str, object]:
    if combination is None:
        return {}
    return {
        "combine": combination.method,
        "density": combination.density,
        "rank": combination.rank,
        "seed": combination.seed,
    }


def slug(name: str) -> str:
    """Replace what MLflow forbids in a model's name: / : . % and quotation marks."""
    return _NO_SLUG.sub("-", name).strip("- ") or "model"
