"""Write the commands' help into their pages in docs/commands; `make help-texts` runs it.

A page shows help between two comments, as many as it likes:

    <!-- help: parity judge report -->
    <!-- end -->
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "commands"
WIDTH = "100"
_SHOWN = re.compile(r"<!-- help: (parity[^>]*?) -->.*?<!-- end -->", re.DOTALL)


def help_text(command: str) -> str:
    """Return what ``COMMAND --help`` prints on a terminal of 100 columns."""
    arguments = [sys.executable, "-m", "evalcore", *command.split()[1:], "--help"]
    environment = os.environ | {"COLUMNS": WIDTH}
    done = subprocess.run(arguments, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def with_help(page: str) -> str:
    """Return a page with the present help of each command that it shows."""
    return _SHOWN.sub(lambda found: _block(found[1]), page)


def shown_commands(page: str) -> list[str]:
    """Return the commands whose help a page shows, such as ``parity judge report``."""
    return _SHOWN.findall(page)


def _block(command: str) -> str:
    return f"<!-- help: {command} -->\n```text\n{help_text(command)}\n```\n<!-- end -->"


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.md")):
        path.write_text(with_help(path.read_text()))
