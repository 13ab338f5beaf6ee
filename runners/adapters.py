"""LoRA adapter folders as peft writes them, checked against a base without loading a weight.

A stack is exactly W + Σ weight·scaling·B·A. What an adapter changes beyond that is refused, with
the reason: a stack that silently leaves out a part would be a different model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evalcore.errors import ModelError
from runners.checkpoints import (
    Checkpoint,
    TensorHeader,
    files_hash,
    folder_template,
    read_json,
    read_tensor_headers,
)

__all__ = ["AdapterFolder", "adapter_template", "check_fits", "matrix_pairs", "read_adapter"]

ADAPTER_WEIGHT_FILES: Final = ("adapter_model.safetensors", "adapter_model.bin")
_TEMPLATE_FILES = ("chat_template.jinja", "tokenizer_config.json")

_BEYOND_LOW_RANK: Final[Mapping[str, str]] = {
    "use_dora": "DoRA rescales the base's weights",
    "lora_bias": "it adds a bias of its own",
    "modules_to_save": "it replaces whole modules",
    "trainable_token_indices": "it replaces token embeddings",
    "target_parameters": "it changes parameters outside of linear layers",
    "layer_replication": "it repeats the base's layers",
    "alora_invocation_tokens": "it is active for some tokens only",
    "arrow_config": "it routes tokens between adapters",
    "use_qalora": "it pools its inputs",
    "use_bdlora": "its matrices are block-diagonal",
    "velora_config": "it is not a plain low-rank adapter",
    "monteclora_config": "it is not a plain low-rank adapter",
    "kasa_config": "it changes the base's weights",
}
"""Fields of adapter_config.json that, when set, break the sum of the stack."""

_NUMBERS: Final = (
    ("r", int, "a whole number of at least 1", "rank_pattern"),
    ("lora_alpha", (int, float), "a number", "alpha_pattern"),
)
"""Field, type, the type in words, and the field that has other values for some modules."""

_HARMLESS_INITS = (None, True, False, "gaussian", "orthogonal", "eva")
"""Ways to begin training that leave the base as it is; the others (PiSSA, OLoRA, …) change it."""

_MATRICES = (
    ".lora_A.weight",
    ".lora_B.weight",
    ".lora_embedding_A",
    ".lora_embedding_B",
)
_COPY = ".base_layer.weight"
"""What peft adds to an adapter of embeddings or output layer, unless told otherwise."""
_EMBEDDINGS = ("embed_tokens", "embed_in", "wte", "word_embeddings")
_OUTPUT_HEADS = ("lm_head", "embed_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFolder:
    """A readable adapter folder."""

    folder: Path
    config: Mapping[str, Any]
    weight_file: Path
    tensors: Mapping[str, TensorHeader]
    """By name; empty for pickled weights, which can't be looked into without loading them."""
    copies: tuple[str, ...] = ()
    """Names of the base's own weights that are in the file, too, and have to equal the base's."""

    @property
    def sha256(self) -> str:
        """Hash over the files that shape an answer: weights, configuration, chat template."""
        return files_hash(self.files)

    @property
    def files(self) -> list[Path]:
        """Weights, configuration and chat template."""
        return [self.weight_file, self.folder / "adapter_config.json", *self._templates]

    @property
    def has_template(self) -> bool:
        """Whether it may bring a chat template of its own."""
        return bool(self._templates)

    @property
    def _templates(self) -> list[Path]:
        return [path for name in _TEMPLATE_FILES if (path := self.folder / name).is_file()]


def read_adapter(folder: Path) -> AdapterFolder:
    """Check that a folder holds a LoRA adapter that is nothing but low-rank matrices.

    Raises
    ------
    ModelError
        Naming what is missing or broken, or why the adapter can't be part of an exact stack.
    """
    config = read_json(folder / "adapter_config.json", what="adapter folder")
    _check_config(config, folder)
    weight_file = next(
        (path for name in ADAPTER_WEIGHT_FILES if (path := folder / name).is_file()), None
    )
    if weight_file is None:
        names = " or ".join(ADAPTER_WEIGHT_FILES)
        raise ModelError(f"no weights ({names}) in adapter folder {folder}")
    found = read_tensor_headers(weight_file)
    copies = tuple(name for name in found if name.endswith(_COPY))
    tensors = {name: header for name, header in found.items() if name not in copies}
    for name in tensors:
        if not name.endswith(_MATRICES):
            raise ModelError(
                f"adapter can't be part of an exact stack: besides low-rank matrices it holds "
                f"{name} ({weight_file})"
            )
    return AdapterFolder(
        folder=folder, config=config, weight_file=weight_file, tensors=tensors, copies=copies
    )


def adapter_template(path: Path) -> str | None:
    """Return the chat template that an adapter brings along, a folder or a GGUF file; or None."""
    if not path.is_file():
        return folder_template(path)
    from runners.gguf.header import read_header

    template = read_header(path).metadata.get("tokenizer.chat_template")
    return template if isinstance(template, str) else None


def check_fits(adapter: AdapterFolder, base: Checkpoint) -> None:
    """Check that each matrix pair has a weight of its shape in the base, and each copy its equal.

    A module counts as the same when the part of its name from the first number on is the same, so
    that prefixes such as ``transformer.`` don't matter. Pickled weights have no readable names;
    then loading finds what doesn't fit.

    Raises
    ------
    ModelError
        Naming the layer and both shapes, or the modules that the base does not have.
    """
    if not adapter.tensors or not base.tensors:
        return
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for name, header in base.tensors.items():
        shapes.setdefault(_local_name(name.removesuffix(".weight")), []).append(header.shape)
    pairs = matrix_pairs(adapter.tensors)
    unknown = [module for module in pairs if not _shapes_of(module, shapes)]
    if unknown:
        raise ModelError(
            f"adapter was made for another base: {base.folder} has no {_some(unknown)} "
            f"({adapter.weight_file})"
        )
    for module, wanted in pairs.items():
        present = _shapes_of(module, shapes)
        if wanted not in present and wanted[::-1] not in present:
            raise ModelError(
                f"adapter was made for another base: {module} is {_by(present[0])} in "
                f"{base.folder}, {_by(wanted)} in the adapter ({adapter.weight_file})"
            )
    _check_copies(adapter, base)


def _check_copies(adapter: AdapterFolder, base: Checkpoint) -> None:
    """Refuse an adapter whose copy of a base's weight, which peft would use, is another one."""
    if not adapter.copies:
        return
    from runners.hf.tensors import read_tensor

    names = {_local_name(name.removesuffix(".weight")): name for name in base.tensors}
    tied = next((names[name] for name in _EMBEDDINGS if name in names), "")
    for copy in adapter.copies:
        local = _local_name(copy.removesuffix(_COPY))
        name = names.get(local, tied if local in _OUTPUT_HEADS else "")
        weight = read_tensor(base.weight_files, name)
        own = read_tensor([adapter.weight_file], copy)
        if weight is None or own is None or not weight.float().equal(own.float()):
            raise ModelError(
                f"adapter was made for another base: its copy of {local}.weight is not that of "
                f"{base.folder} ({adapter.weight_file})"
            )


def _check_config(config: Mapping[str, Any], folder: Path) -> None:
    where = folder / "adapter_config.json"
    if config.get("peft_type") != "LORA":
        raise ModelError(
            f"adapter's peft_type must be LORA; got {config.get('peft_type')!r} ({where})"
        )
    _check_numbers(config, where)
    if not isinstance(config.get("target_modules"), str | list | None):
        raise ModelError(
            f"adapter's target_modules must be names or a pattern; got "
            f"{config['target_modules']!r} ({where})"
        )
    for field, reason in _BEYOND_LOW_RANK.items():
        if config.get(field):
            raise ModelError(
                f"adapter can't be part of an exact stack: {reason} ({field} in {where})"
            )
    if config.get("bias", "none") != "none":
        raise ModelError(
            "adapter can't be part of an exact stack: it changes the base's biases "
            f"(bias={config['bias']!r} in {where})"
        )
    init = config.get("init_lora_weights")
    if init not in _HARMLESS_INITS:
        raise ModelError(
            f"adapter can't be part of an exact stack: init_lora_weights={init!r} changed its "
            "base's weights; save it again with path_initial_model_for_weight_conversion "
            f"({where})"
        )


def _check_numbers(config: Mapping[str, Any], where: Path) -> None:
    """Check rank and scaling, those of single modules included."""
    for field, kind, wanted, pattern in _NUMBERS:
        by_module = config.get(pattern) or {}
        if not isinstance(by_module, dict):
            raise ModelError(f"adapter's {pattern} must name modules; got {by_module!r} ({where})")
        for number in (config.get(field), *by_module.values()):
            if not isinstance(number, kind) or (field == "r" and number < 1):
                raise ModelError(f"adapter's {field} must be {wanted}; got {number!r} ({where})")


def matrix_pairs(tensors: Mapping[str, TensorHeader]) -> dict[str, tuple[int, ...]]:
    """Return each module's name and the shape (n_out, n_in) of B·A."""
    rows: dict[str, int] = {}
    columns: dict[str, int] = {}
    for name, header in tensors.items():
        module, _, matrix = name.removesuffix(".weight").rpartition(".")
        if matrix.endswith("_B"):
            rows[module] = header.shape[0]
        else:
            columns[module] = header.shape[-1]
    half = sorted(rows.keys() ^ columns.keys())
    if half:
        raise ModelError(f"adapter is broken: {_some(half)} has only one of lora_A and lora_B")
    return {
        module.removeprefix("base_model.model."): (rows[module], columns[module])
        for module in sorted(rows)
    }


def _shapes_of(
    module: str, shapes: Mapping[str, Sequence[tuple[int, ...]]]
) -> Sequence[tuple[int, ...]]:
    local = _local_name(module)
    if local in shapes or local not in _OUTPUT_HEADS:
        return shapes.get(local, ())
    tied = [name for name in _EMBEDDINGS if name in shapes]
    return shapes[tied[0]] if tied else ()


def _local_name(module: str) -> str:
    """Cut a module's name to what follows its container: ``layers.0.self_attn.q_proj``."""
    parts = module.split(".")
    numbered = next((at for at, part in enumerate(parts) if part.isdigit()), len(parts))
    return ".".join(parts[numbered - 1 :])


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"


def _by(shape: Sequence[int]) -> str:
    return " x ".join(str(size) for size in shape)
