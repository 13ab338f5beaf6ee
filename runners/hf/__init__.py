"""Models run by transformers."""

from __future__ import annotations

import logging

# bitsandbytes notes on import that an optional package is missing, and each int8 layer, on each
# call, that it computes in float16, which is how LLM.int8 works.
for _name in ("bitsandbytes.backends.cpu.ops", "bitsandbytes.autograd._functions"):
    logging.getLogger(_name).setLevel(logging.ERROR)
