"""Votes a second of the arena: ``python benchmarks/arena.py``, or ``make bench-arena``.

What it does is in ``arena_votes.py``. Scripts of this folder that import the package ``arena`` find
this file first, so it says where the package's modules are.
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parent.parent / "arena")]

if __name__ == "__main__":
    from arena_votes import main

    main()
