"""Write docs/reproductions.md from the studies' data: python scripts/write_reproductions.py DIR."""

from __future__ import annotations

import sys
from pathlib import Path

from evalcore.reproductions.studies import STUDIES, reproduce
from evalcore.reproductions.writing import markdown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reproductions.md"
MARK = "<!-- studies -->\n"


def main() -> None:
    """Put every study's section below the mark."""
    data = Path(sys.argv[1])
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    sections = "\n".join(markdown(reproduce(study, data)) for study in STUDIES)
    PAGE.write_text(f"{head}{MARK}\n{sections}", encoding="utf-8")


if __name__ == "__main__":
    main()
