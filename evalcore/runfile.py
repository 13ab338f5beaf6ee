"""A study in one YAML file: models, tasks, prompts and how answers are decoded.

::

    models:
      - base=hf:models/base
      - {name: tuned, model: "hf:models/base", adapters: [{path: adapters/a, weight: 0.5}]}
    tasks: [tiny-arithmetic, my-task.yaml]
    prompts: [prompts.jsonl]
    limit: 100

Paths are relative to the current folder, as on the command line.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from evalcore.errors import InputError
from evalcore.records import SamplingParams
from evalcore.tasks.definition import GenerationSettings, StrictModel, parse_yaml

__all__ = ["RunFile", "read_run_file"]


class AdapterEntry(StrictModel):
    """One adapter of a stack."""

    path: str
    weight: float = 1.0


class ModelEntry(StrictModel):
    """A model string in long form."""

    model: str
    """A model string, such as ``hf:models/base``."""
    name: str | None = None
    dtype: Literal["fp32", "bf16", "fp16"] | None = None
    quantization: str | None = None
    template: str | None = None
    device: str | None = None
    adapters: list[AdapterEntry] = Field(default_factory=list)

    def model_string(self) -> str:
        """Return the same as a model string."""
        settings = {
            "dtype": self.dtype,
            "quant": self.quantization,
            "template": self.template,
            "device": self.device,
        }
        given = "&".join(f"{key}={value}" for key, value in settings.items() if value is not None)
        joint = "" if not given else "&" if "?" in self.model else "?"
        stack = "".join(f"+lora:{item.path}*{item.weight!r}" for item in self.adapters)
        return (f"{self.name}=" if self.name else "") + self.model + joint + given + stack


class RunFile(StrictModel):
    """What stands in a run file."""

    models: list[str | ModelEntry] = Field(min_length=1)
    tasks: list[str] = Field(default_factory=list)
    prompts: list[str] = Field(default_factory=list)
    generation: GenerationSettings = GenerationSettings()
    """How prompts are answered; a task has settings of its own."""
    chat: bool = True
    """Prompts go through the model's chat template."""
    limit: int | None = Field(default=None, ge=1)

    def model_strings(self) -> list[str]:
        """Return all models as model strings."""
        return [entry if isinstance(entry, str) else entry.model_string() for entry in self.models]

    def params(self, fitting_length: int) -> SamplingParams:
        """Return how prompts are answered, at most so long where the file doesn't say."""
        params = self.generation.params()
        if "max_new_tokens" in self.generation.model_fields_set:
            return params
        return replace(params, max_new_tokens=fitting_length)


def read_run_file(path: Path) -> RunFile:
    """Read a run file.

    Raises
    ------
    InputError
        Naming file, key, value and what is permitted.
    """
    run_file = parse_yaml(path, RunFile, error=InputError)
    if not run_file.tasks and not run_file.prompts:
        raise InputError(f"{path}: names neither tasks nor prompts, so there is nothing to do")
    return run_file
