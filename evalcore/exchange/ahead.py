"""The next item made while one is in use."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["made_ahead"]

Item = TypeVar("Item")


def made_ahead(items: Generator[Item, None, None]) -> Iterator[Item]:
    """Yield the same items, each made by a thread while the one before is in use.

    It takes a second core where both sides leave Python's lock alone: parsing and checking by
    Arrow here, the database there. An exception comes when its item would have come; whoever stops
    early waits for the item that is being made.
    """
    end = object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        try:
            coming = thread.submit(next, items, end)
            while (item := coming.result()) is not end:
                coming = thread.submit(next, items, end)
                yield item  # type: ignore[misc]
        finally:
            thread.submit(items.close)
