"""Models run by transformers."""

from __future__ import annotations

import logging
import os

# Idle OpenMP threads would spin for work, and take the cores from those that have some: with other
# programs on the machine, small models ran several times slower. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# bitsandbytes notes on import that an optional package is missing, and each int8 layer, on each
# call, that it computes in float16, which is how LLM.int8 works.
# torchao, which transformers and peft import wherever it is installed, notes on import which of its
# libraries for GPUs do not load here.
for _name in (
    "bitsandbytes.backends.cpu.ops",
    "bitsandbytes.autograd._functions",
    "torch.utils._pytree",
    "torchao",
):
    logging.getLogger(_name).setLevel(logging.ERROR)
