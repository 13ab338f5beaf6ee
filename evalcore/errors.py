"""Errors that a caller may want to catch.

- ParityError
    - InputError            wrong usage or bad input: exit code 2
        - ModelError        a model or adapter that can't be found, read or run here
        - TaskError         a task or prompt file that can't be used
        - VotesError        a vote file that can't be used
    - WorkspaceError        the workspace can't be opened, read or written: exit code 2
    - IncompleteError       part of the work could not be done; what was done is kept: exit code 3
"""

from __future__ import annotations

__all__ = [
    "IncompleteError",
    "InputError",
    "ModelError",
    "ParityError",
    "TaskError",
    "VotesError",
    "WorkspaceError",
]


class ParityError(Exception):
    """Base class: one line that names what is wrong, where, and what is permitted."""

    exit_code = 2


class InputError(ParityError):
    """Wrong usage or bad input."""


class ModelError(InputError):
    """A model, adapter or quantisation that can't be used on this machine."""


class TaskError(InputError):
    """A task or prompt file that can't be used."""


class VotesError(InputError):
    """A vote file that can't be used."""


class WorkspaceError(ParityError):
    """The workspace can't be opened, read or written."""


class IncompleteError(ParityError):
    """Part of the work could not be done; everything that was done is kept."""

    exit_code = 3
