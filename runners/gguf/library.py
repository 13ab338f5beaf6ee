"""llama.cpp's C functions through the ctypes bindings of llama-cpp-python, and its log in ours.

Only the low-level bindings are used: the package's own high-level class evaluates one sequence at
a time and keeps all logits.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
from functools import cache
from typing import Any, Final

from evalcore.errors import ModelError

__all__ = ["INSTALL", "last_error", "library", "model_parameters", "require", "why_not"]

INSTALL: Final = "pip install 'parity-eval[gguf]'"

_LOG = logging.getLogger("llama.cpp")
_WARN, _ERROR = 3, 4
"""``ggml_log_level``, which the package's own table of levels has from before they changed."""
_errors: list[str] = []
_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def why_not() -> str | None:
    """Return the reason why nothing can be run by llama.cpp here, in one line; None if it can."""
    for module, package in (("llama_cpp", "llama-cpp-python"), ("gguf", "gguf")):
        if importlib.util.find_spec(module) is None:
            return f"{package} is not installed: {INSTALL}"
    return None


def require() -> None:
    """Refuse to go on without the extra.

    Raises
    ------
    ModelError
        With the line that installs it.
    """
    reason = why_not()
    if reason is not None:
        raise ModelError(f"GGUF files need llama.cpp: {reason}")


@cache
def library() -> Any:
    """Load llama.cpp, once.

    Its messages go to the logger ``llama.cpp``, warnings and errors as ``INFO``: whatever an error
    stops is told by an exception, which has the reason from :func:`last_error`.

    Raises
    ------
    ModelError
        If it is not installed, or was built for another machine.
    """
    require()
    try:
        import llama_cpp.llama_cpp as bindings
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"llama.cpp can't be loaded here: {reason}") from None
    bindings.llama_log_set(_HEARD, ctypes.c_void_p(0))
    bindings.llama_backend_init()
    return bindings


def model_parameters() -> Any:
    """Return how a model is loaded by default, without what this build can't do.

    A build for AMX ends the process at the first product of quantised weights: GCC leaves out most
    of the tile configuration that the instruction reads (llama.cpp's pull request 26954). So there
    weights keep the file's order, and are multiplied by AVX-512's kernels.
    """
    lib = library()
    parameters = lib.llama_model_default_params()
    parameters.use_extra_bufts = b"AMX_INT8 = 1" not in lib.llama_print_system_info()
    return parameters


def last_error() -> str:
    """Return what llama.cpp said last about something that failed, and forget it."""
    said = [message for message in _errors if message]
    _errors.clear()
    # The first message has the reason; those behind it say what else was given up for it.
    return said[0] if said else "it gave no reason"


def _heard(level: int, text: bytes, _data: object) -> None:
    message = " ".join(text.decode("utf-8", errors="replace").split())
    if level == _ERROR:
        _errors.append(message)
        del _errors[:-8]
    _LOG.log(logging.INFO if level in (_WARN, _ERROR) else logging.DEBUG, "%s", message)


# llama.cpp calls it as long as the process lives.
_HEARD = _LogCallback(_heard)
