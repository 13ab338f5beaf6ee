"""The numbers behind a table or figure, to take along."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from evalcore.hashing import content_hash
from reports.figures.drawing import Figure

__all__ = ["DataFile", "figure_data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A CSV file, unrounded."""

    name: str
    csv: str
    command: str
    """Makes it again from the workspace."""

    @property
    def hash(self) -> str:
        """Of the content."""
        return content_hash(self.csv)

    @property
    def uri(self) -> str:
        """The file itself as an address, so that a page holds it."""
        return "data:text/csv;charset=utf-8," + quote(self.csv, safe=",/:;@!*()'=+ ")


def figure_data(figure: Figure, command: str) -> DataFile:
    """Return the numbers that a figure was drawn from."""
    return DataFile(name=f"{figure.name}.csv", csv=figure.csv, command=command)
