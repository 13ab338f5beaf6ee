"""What a text looks like: the features that style control holds constant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError

__all__ = ["STYLE_FEATURES", "feature_differences", "style_features"]

STYLE_FEATURES = ("length", "headings", "lists", "bold", "code")

_CHUNK_VOTES = 1 << 16  # a chunk and what is computed from it stay in the cache
_FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^ {0,3}#{1,6}\s", re.MULTILINE)
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,9}[.)])\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*(?=\S).+?(?<=\S)\*\*|__(?=\S).+?(?<=\S)__")


def style_features(text: str) -> dict[str, int]:
    r"""Count a Markdown text's style features.

    Returns
    -------
    dict
        By name: ``length`` in characters, ``headings``, ``lists`` (items), ``bold`` (passages) and
        ``code`` (fenced blocks). Within code nothing else is counted. All 0 for an empty text.

    Examples
    --------
    >>> style_features("# Title\n- **one**\n- two")
    {'length': 23, 'headings': 1, 'lists': 2, 'bold': 1, 'code': 0}
    """
    prose, n_code = _FENCE.subn("", text)
    return {
        "length": len(text),
        "headings": len(_HEADING.findall(prose)),
        "lists": len(_LIST_ITEM.findall(prose)),
        "bold": len(_BOLD.findall(prose)),
        "code": n_code,
    }


def feature_differences(
    features: Mapping[str, NDArray[np.float64]], names: Sequence[str]
) -> NDArray[np.float64]:
    """Compare A's and B's features: (a − b) / (a + b) in units of its spread, 0 where both are 0.

    The spread is the root mean square, about 0 and not about the mean, so that swapping A and B
    changes signs and nothing else.

    Parameters
    ----------
    features
        By name, ``(n, 2)``: of A's and of B's answer, at least 0.
    names
        Which ones, at least one.

    Returns
    -------
    NDArray
        ``(len(names), n)``.

    Raises
    ------
    InputError
        For a feature that is not there or is the same in every pair of answers.

    References
    ----------
    Li, Angelopoulos & Chiang (2024), Does style matter? Disentangling style and substance in
    Chatbot Arena, LMSYS blog: the normalised difference.
    """
    missing = [name for name in names if name not in features]
    if not features:
        raise InputError("the votes have no style features, which come in columns of their own")
    if missing or not names:
        has = ", ".join(features)
        raise InputError(f"style feature must be one of {has}; got {', '.join(missing) or 'none'}")
    table = np.empty((len(names), len(features[names[0]])))
    for row, name in zip(table, names, strict=True):
        for first in range(0, len(row), _CHUNK_VOTES):
            a, b = features[name][first : first + _CHUNK_VOTES].T
            total = a + b
            with np.errstate(invalid="ignore"):
                chunk = np.divide(a - b, total, out=row[first : first + _CHUNK_VOTES])
            chunk[total == 0] = 0.0
        spread = float(np.sqrt(row @ row / max(len(row), 1)))
        if spread == 0:
            raise InputError(f"style feature {name} is the same in every pair of answers")
        row /= spread
    return table
