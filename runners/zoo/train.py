"""Make the tiny family: ``python -m runners.zoo.train --out DIR``.

The base learns running text; each adapter learns answers on top of what it will be stacked upon.
Adapters for a stack are trained with the adapters below them merged into frozen weights, which is
the same model as the stack W + Σ B·A and quicker.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as TokenizerFast

from runners.zoo.batches import batches, encode
from runners.zoo.corpus import stream
from runners.zoo.evaluate import report
from runners.zoo.tokenizer import make_tokenizer

__all__ = ["RECIPES", "Recipe", "main", "make_adapter", "make_base"]

logger = logging.getLogger(__name__)

WINDOW = 256
"""Tokens the base is trained on at a time, and its ``max_position_embeddings``."""
_BASE = "tiny"
_LORA_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one model of the family is trained."""

    n_steps: int
    peak_learning_rate: float
    seed: int
    n_windows: int = 16
    """Windows of :data:`WINDOW` tokens a step."""
    warmup_steps: int = 100
    weight_decay: float = 0.0
    rank: int = 0
    """Of the adapter's B·A; 0 for the base."""
    below: tuple[str, ...] = ()
    """Adapters that it is trained on top of."""


RECIPES: Mapping[str, Recipe] = {
    _BASE: Recipe(n_steps=3500, peak_learning_rate=1e-3, seed=1, weight_decay=0.1),
    "tiny-instruct": Recipe(n_steps=400, n_windows=8, peak_learning_rate=2e-3, seed=2, rank=32),
    "tiny-math": Recipe(
        n_steps=700,
        n_windows=8,
        peak_learning_rate=2e-3,
        seed=3,
        rank=32,
        below=("tiny-instruct",),
    ),
    "tiny-style": Recipe(
        n_steps=150, n_windows=8, peak_learning_rate=1e-3, seed=4, rank=8, below=("tiny-instruct",)
    ),
}
"""Every model of the family; an adapter comes after those it is trained on top of."""


def make_base(folder: Path) -> None:
    """Train the base from random weights and write it as bfloat16 safetensors."""
    recipe = RECIPES[_BASE]
    torch.manual_seed(recipe.seed)
    tokenizer = make_tokenizer(WINDOW)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=WINDOW,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    _train(model, tokenizer, _BASE)
    model.generation_config = GenerationConfig(
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_adapter(name: str, family: Path) -> None:
    """Train an adapter on the base and the adapters below it, and write it as float16 safetensors.

    Parameters
    ----------
    name
        A key of :data:`RECIPES` with a rank.
    family
        Folder that holds the base and the adapters below, one folder each.
    """
    recipe = RECIPES[name]
    torch.manual_seed(recipe.seed)
    tokenizer = TokenizerFast.from_pretrained(family / _BASE)
    model = AutoModelForCausalLM.from_pretrained(family / _BASE, dtype=torch.float32)
    for adapter in recipe.below:
        model = PeftModel.from_pretrained(model, family / adapter).merge_and_unload()
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=2 * recipe.rank,
        target_modules=_LORA_MODULES,
        task_type="CAUSAL_LM",
    )
    tuned = get_peft_model(model, config)
    _train(tuned, tokenizer, name)
    _save_adapter(tuned, family / name)


def _save_adapter(tuned: PeftModel, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    halves = {name: weight.to(torch.float16).contiguous() for name, weight in weights.items()}
    save_file(halves, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = tuned.peft_config["default"]
    config.base_model_name_or_path = f"zoo:{_BASE}"
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)  # a set: another order in each process
    config.save_pretrained(folder)


def _train(model: torch.nn.Module, tokenizer: TokenizerFast, name: str) -> None:
    recipe = RECIPES[name]
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        trained,
        lr=recipe.peak_learning_rate,
        betas=(0.9, 0.95),
        weight_decay=recipe.weight_decay,
    )
    documents = (
        encode(tokenizer, source, answers_only=recipe.rank > 0)
        for source in stream(name, recipe.seed)
    )
    packed = batches(documents, recipe.n_windows, WINDOW, pad_id=tokenizer.pad_token_id)
    model.train()
    started_s = time.monotonic()
    for step, batch in zip(range(recipe.n_steps), packed, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(recipe, step)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=batch.ids).logits
        loss = _next_token_loss(logits, batch.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == recipe.n_steps - 1:
            elapsed_s = time.monotonic() - started_s
            logger.info("%s step %d loss %.4f %.0f s", name, step, loss.item(), elapsed_s)
    model.eval()


def _next_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    n_vocabulary = logits.shape[-1]
    predicted = logits[:, :-1].float().reshape(-1, n_vocabulary)
    return cross_entropy(predicted, labels[:, 1:].reshape(-1))


def _learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine down to a tenth of the peak."""
    if step < recipe.warmup_steps:
        return recipe.peak_learning_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.n_steps - recipe.warmup_steps)
    return recipe.peak_learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def main() -> None:
    """Train the whole family, or the models named, and evaluate what was stored."""
    parser = argparse.ArgumentParser(description="Train the tiny family.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the models")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in (name for name in RECIPES if name in arguments.only):
        if name == _BASE:
            make_base(arguments.out / name)
        else:
            make_adapter(name, arguments.out)
    if all((arguments.out / name).is_dir() for name in RECIPES):
        logger.info("%s", report(arguments.out))


if __name__ == "__main__":
    main()
