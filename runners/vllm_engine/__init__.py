"""Models run by vLLM, on one GPU or several.

- :mod:`~runners.vllm_engine.settings` and :mod:`~runners.vllm_engine.arguments` turn a spec and
  requests into what vLLM is called with, and what it returns into results: pure functions, tested
  without a GPU and without vLLM;
- :mod:`~runners.vllm_engine.adapters` writes a stack as the one adapter that vLLM takes;
- :mod:`~runners.vllm_engine.library` is all that imports vLLM.
"""
