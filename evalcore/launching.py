"""Where the installed ``parity`` begins: Ctrl-C ends it quietly even while it is being loaded."""

from __future__ import annotations

import sys

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Load the command line and run it."""
    try:
        from evalcore.__main__ import main as run
    except KeyboardInterrupt:
        print("parity: interrupted before anything was done", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    run()
