"""Adapters added to their base's weights in single precision, before these are quantised.

The model is loaded as it is, summed up and written to a temporary folder, from which it is loaded
once more in the form that is asked for. On the way it takes four bytes a weight, in memory and on
disk; what rounds and quantises is the same code as for any other checkpoint.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from evalcore.records import Adapter

if TYPE_CHECKING:
    from runners.hf.loading import Base

__all__ = ["merged_copy"]

_GENERATION: Final = "generation_config.json"


@contextmanager
def merged_copy(base: Base, adapters: tuple[Adapter, ...], *, source: Path) -> Iterator[Path]:
    """Give a folder with W + Σ weight·scaling·B·A for weights, which lasts as long as the context.

    Parameters
    ----------
    base
        In single precision and on the CPU; of no use afterwards.
    adapters
        LoRA adapters of it.
    source
        The base's folder, whose marks of the end of a text are taken over.

    Raises
    ------
    ModelError
        If an adapter doesn't fit, or changes a weight that several modules share.
    """
    base.adapters.activate(adapters)
    base.adapters.merge()
    with TemporaryDirectory(prefix="parity-merged-") as name:
        folder = Path(name)
        base.model.save_pretrained(folder)
        (folder / _GENERATION).unlink(missing_ok=True)
        if (source / _GENERATION).is_file():
            shutil.copyfile(source / _GENERATION, folder / _GENERATION)
        del base
        gc.collect()
        yield folder
