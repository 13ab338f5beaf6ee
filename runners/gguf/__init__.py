"""Models run by llama.cpp, in this process.

- :mod:`~runners.gguf.backend` is what the table of backends knows: settings, files, hashes;
- :mod:`~runners.gguf.header` reads and checks a file before llama.cpp, which would abort, sees it;
- :mod:`~runners.gguf.library` has the C functions, :mod:`~runners.gguf.context` one evaluation
  state, :mod:`~runners.gguf.tokenizer` the vocabulary, :mod:`~runners.gguf.adapters` LoRA files;
- :mod:`~runners.gguf.scoring` and :mod:`~runners.gguf.generation` compute, and
  :mod:`~runners.gguf.runner` answers requests with them;
- :mod:`~runners.gguf.convert` writes GGUF files from folders of transformers.
"""
