"""What to call a variant."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from evalcore.records import Combination, ModelSpec

__all__ = ["model_string", "slug"]

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
