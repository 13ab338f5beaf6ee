"""Models behind an OpenAI-compatible server: OpenAI, vLLM, llama.cpp, ``transformers serve``.

- :mod:`~runners.endpoint.address` reads ``openai:MODEL@URL?…`` and the API key's variable;
- :mod:`~runners.endpoint.wire` turns requests into JSON bodies and replies into answers;
- :mod:`~runners.endpoint.failures` says what a failed attempt means and when to try again;
- :mod:`~runners.endpoint.limits`, :mod:`~runners.endpoint.prices` and
  :mod:`~runners.endpoint.budget` keep to rates and money;
- :mod:`~runners.endpoint.caller` makes calls, asynchronously; :mod:`~runners.endpoint.runner` runs
  it in a thread of its own behind the synchronous protocols of :mod:`evalcore.protocols`;
- :mod:`~runners.endpoint.stub` is a server without a model, for tests and rehearsals.
"""
