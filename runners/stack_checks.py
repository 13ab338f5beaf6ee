"""What adapters bring along besides weights, compared with their base and with each other.

A stack is run with the base's tokenizer and one chat template. An adapter that was trained with
other tokens, or on another base that is at hand, would be read as something that it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from evalcore.errors import ModelError
from evalcore.records import ModelSpec
from runners.adapters import AdapterFolder
from runners.checkpoints import (
    Checkpoint,
    files_hash,
    folder_template,
    read_checkpoint,
    read_json,
)

__all__ = ["added_tokens", "check_companions", "check_templates", "check_tokens"]

_MARKS = ("bos_token", "eos_token")


def check_companions(spec: ModelSpec, folders: Sequence[AdapterFolder], base: Checkpoint) -> None:
    """Check that adapters share their base's weights and tokenizer, and agree on a chat template.

    A base that an adapter names by a folder that is here must have the same weights. A mere name
    proves nothing: one base goes by many. Tokens and templates are looked at by
    :func:`check_tokens` and :func:`check_templates`.

    Raises
    ------
    ModelError
        Naming the adapter, what differs, and where.
    """
    named = [adapter.name for adapter in spec.adapters]
    for name, files in zip(named, folders, strict=True):
        _check_base(name, files, base)
        _check_vocabulary(name, files, base)
    check_tokens(list(zip(named, folders, strict=True)), added_tokens(base.folder))
    if spec.chat_template is None:
        templates = [folder_template(files.folder) for files in folders]
        check_templates(list(zip(named, templates, strict=True)))


def check_tokens(adapters: Sequence[tuple[str, AdapterFolder]], known: Mapping[int, str]) -> None:
    """Check that adapters go with one vocabulary, and with each other.

    No two add different tokens under one number, and none changes the base's tokens. A new token
    that ends texts or stands in the adapter's chat template is refused, since the base reads it as
    several; others, such as one for padding, never occur.

    Parameters
    ----------
    adapters
        With their names.
    known
        Tokens of the base by number, at least those that were added to its vocabulary.

    Raises
    ------
    ModelError
        Naming adapter, token and folder.
    """
    added: dict[int, tuple[str, str]] = {}
    for name, files in adapters:
        own = added_tokens(files.folder)
        for token, text in own.items():
            if known.get(token, text) != text:
                raise ModelError(
                    f"adapter {name!r} changes the base's token {token} from "
                    f"{known[token]!r} to {text!r} ({files.folder})"
                )
            other, before = added.get(token, (text, name))
            if other != text:
                raise ModelError(
                    f"adapters {before!r} and {name!r} add different tokens under the "
                    f"number {token}: {other!r} and {text!r}"
                )
        new = {token: text for token, text in own.items() if token not in known}
        added |= {token: (text, name) for token, text in new.items()}
        _check_new(name, files, new)


def check_templates(brought: Sequence[tuple[str, str | None]]) -> None:
    """Refuse adapters that bring different chat templates, of which one would win.

    Parameters
    ----------
    brought
        Names of a stack's adapters, each with its template or None.

    Raises
    ------
    ModelError
        Naming both.
    """
    own = [(name, template) for name, template in brought if template is not None]
    for (first, one), (second, other) in pairwise(own):
        if one != other:
            raise ModelError(
                f"adapters {first!r} and {second!r} bring different chat templates; choose one "
                "with ?template=, or take chat_template out of one adapter's folder"
            )


def _check_base(name: str, files: AdapterFolder, base: Checkpoint) -> None:
    named = files.config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        return
    folder = Path(named)
    if not folder.is_absolute() or not (folder / "config.json").is_file():
        return
    if folder.resolve() == base.folder.resolve():
        return
    other = read_checkpoint(folder)
    if files_hash(list(other.weight_files)) != files_hash(list(base.weight_files)):
        raise ModelError(
            f"adapter {name!r} was made for another base: {folder}, whose weights are not those of "
            f"{base.folder} (base_model_name_or_path in {files.folder / 'adapter_config.json'})"
        )


def _check_vocabulary(name: str, files: AdapterFolder, base: Checkpoint) -> None:
    own, others = (folder / "tokenizer.json" for folder in (files.folder, base.folder))
    if not own.is_file() or not others.is_file() or own.read_bytes() == others.read_bytes():
        return
    parts = [read_json(path, what="folder").get("model") or {} for path in (own, others)]
    for part in ("type", "vocab", "merges"):
        if parts[0].get(part) != parts[1].get(part):
            raise ModelError(
                f"adapter {name!r} comes with another tokenizer than its base: {part} differs "
                f"({own} and {others})"
            )


def _check_new(name: str, files: AdapterFolder, new: Mapping[int, str]) -> None:
    config = _tokenizer_config(files.folder)
    template = folder_template(files.folder) or ""
    ends = [_text_of(config.get(mark)) for mark in _MARKS]
    for token, text in sorted(new.items()):
        if text in template or text in ends:
            raise ModelError(
                f"adapter {name!r} needs the token {text!r} (number {token}), which the base's "
                f"tokenizer lacks; add it to the base and save both ({files.folder})"
            )


def added_tokens(folder: Path) -> dict[int, str]:
    """Return the added tokens of a folder's tokenizer by number; none without a tokenizer.

    Raises
    ------
    ModelError
        If they are not listed as transformers lists them.
    """
    try:
        return _listed_tokens(folder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"added tokens of the tokenizer can't be read: {error} ({folder})"
        ) from None


def _listed_tokens(folder: Path) -> dict[int, str]:
    found: dict[int, str] = {}
    if (folder / "added_tokens.json").is_file():
        listed = read_json(folder / "added_tokens.json", what="folder")
        found |= {int(number): text for text, number in listed.items()}
    listed = _tokenizer_config(folder).get("added_tokens_decoder") or {}
    found |= {int(number): _text_of(token) for number, token in listed.items()}
    if (folder / "tokenizer.json").is_file():
        tokens = read_json(folder / "tokenizer.json", what="folder").get("added_tokens") or ()
        found |= {int(token["id"]): token["content"] for token in tokens}
    return found


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    if not (folder / "tokenizer_config.json").is_file():
        return {}
    return read_json(folder / "tokenizer_config.json", what="folder")


def _text_of(token: object) -> str:
    """Return a token's text, which is written as a text or as an object that holds it."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
