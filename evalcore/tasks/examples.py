"""Reading examples: JSONL lines to records, with every mistake told by file and line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from evalcore.errors import TaskError
from evalcore.hashing import content_hash
from evalcore.images import read_image
from evalcore.records import Example, Image, Message
from evalcore.strict_json import parse_json_text

__all__ = ["LineTemplates", "example_from_fields", "read_examples", "read_jsonl", "unique"]

_KNOWN_FIELDS = frozenset(
    {"id", "prompt", "text", "messages", "follow_ups", "reference", "references", "choices"}
    | {"answer", "category", "group", "image", "images", "metadata"}
)
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class LineTemplates:
    """Jinja texts that make prompt and reference from a line's fields."""

    prompt: Template | None = None
    target: Template | None = None

    @classmethod
    def compile(cls, prompt: str | None, target: str | None, *, where: str) -> LineTemplates:
        """Compile the texts; TaskError if one is broken."""
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
        )
        try:
            return cls(
                prompt=None if prompt is None else environment.from_string(prompt),
                target=None if target is None else environment.from_string(target),
            )
        except TemplateError as error:
            raise TaskError(f"{where}: broken template: {error}") from error


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield each line's number, from 1, and its JSON value; blank lines are passed over.

    Raises
    ------
    TaskError
        For a missing file, bytes that are not UTF-8, and a line that is not JSON.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _parse_line(line, where=f"{path}, line {number}")
    except FileNotFoundError as error:
        raise TaskError(f"{path}: no such file") from error
    except OSError as error:
        raise TaskError(f"{path}: can't be read: {error.strerror}") from error


def _parse_line(line: bytes, *, where: str) -> Any:
    try:
        return parse_json_text(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TaskError(f"{where}: not UTF-8 text (byte {error.start} of the line)") from error
    except json.JSONDecodeError as error:
        raise TaskError(f"{where}: not JSON: {error.msg} (column {error.colno})") from error
    except ValueError as error:
        raise TaskError(f"{where}: not JSON that can be read: {error}") from error


def read_examples(
    path: Path, templates: LineTemplates, *, check: Callable[[Example, str], None] | None = None
) -> list[Example]:
    """Read a JSONL file of examples; the order is the file's.

    Parameters
    ----------
    path
        The file.
    templates
        How prompts and references are made of a line's fields.
    check
        Called with each example and its place; raises TaskError for one that doesn't fit.

    Raises
    ------
    TaskError
        Naming file and line, also for two examples with one id and for a file without any.
    """
    numbered = []
    for number, fields in read_jsonl(path):
        where = f"{path}, line {number}"
        example = example_from_fields(fields, templates, where=where, folder=path.parent)
        if check is not None:
            check(example, where)
        numbered.append((number, example))
    return unique(numbered, path)


def unique(numbered: Sequence[tuple[int, Example]], path: Path) -> list[Example]:
    """Return the examples; raise if there are none or two are the same."""
    if not numbered:
        raise TaskError(f"{path}: holds no examples")
    first_line: dict[str, int] = {}
    for number, example in numbered:
        earlier = first_line.setdefault(example.id, number)
        if earlier != number:
            raise TaskError(
                f"{path}, line {number}: same example as line {earlier}; if both should count, "
                "give them different ids"
            )
    own_ids: dict[str, int] = {}
    for number, example in numbered:
        own_id = example.metadata.get("id")
        if own_id is not None and own_ids.setdefault(str(own_id), number) != number:
            raise TaskError(
                f"{path}, line {number}: duplicate id {own_id!r}, first on line "
                f"{own_ids[str(own_id)]}"
            )
    return [example for _, example in numbered]


def example_from_fields(
    fields: Any, templates: LineTemplates, *, where: str, folder: Path = Path()
) -> Example:
    """Make an example of a line's fields; TaskError, beginning with the place, if they are off.

    Paths of images are seen from ``folder``.
    """
    if not isinstance(fields, dict):
        raise TaskError(f"{where}: must be a JSON object; got {type(fields).__name__}")
    choices = _texts(fields, "choices", where=where)
    if len(set(choices)) < len(choices):
        raise TaskError(f"{where}: two choices are the same")
    example = Example(
        id="",
        messages=_messages(fields, templates, where=where),
        follow_ups=_texts(fields, "follow_ups", where=where),
        references=_references(fields, choices, templates, where=where),
        choices=choices,
        category=_label(fields, "category"),
        group=_label(fields, "group"),
        images=_images(fields, folder, where=where),
        metadata=_metadata(fields),
    )
    own_id = fields.get("id")
    if isinstance(own_id, float) and not math.isfinite(own_id):
        raise TaskError(f"{where}: id must be a text or a number; got {own_id}")
    return _with_id(example, own_id=own_id)


def _with_id(example: Example, *, own_id: object) -> Example:
    messages = [{"role": turn.role, "content": turn.content} for turn in example.messages]
    kept = [messages, example.references, example.choices, example.category, example.group]
    images = [image.sha256 for image in example.images]
    follow_ups = [example.follow_ups] if example.follow_ups else []
    return replace(example, id=content_hash([own_id, *kept, images, *follow_ups]))


def _messages(
    fields: Mapping[str, Any], templates: LineTemplates, *, where: str
) -> tuple[Message, ...]:
    if templates.prompt is not None:
        text = _render(templates.prompt, fields, where=where)
    elif "messages" in fields:
        return _chat(fields["messages"], where=where)
    else:
        text = fields.get("prompt", fields.get("text"))
        if text is None:
            raise TaskError(f"{where}: needs one of the fields prompt, text, messages")
    if not isinstance(text, str) or not text.strip():
        raise TaskError(f"{where}: the prompt must be text that is not empty; got {text!r:.80}")
    return (Message(role="user", content=text),)


def _chat(turns: Any, *, where: str) -> tuple[Message, ...]:
    if not isinstance(turns, list) or not turns:
        raise TaskError(f"{where}: messages must be a list of role and content")
    messages = []
    for turn in turns:
        if not isinstance(turn, dict) or set(turn) != {"role", "content"}:
            raise TaskError(f"{where}: a message needs just role and content; got {turn!r:.80}")
        if turn["role"] not in _ROLES:
            raise TaskError(
                f"{where}: role must be one of {', '.join(_ROLES)}; got {turn['role']!r:.80}"
            )
        if not isinstance(turn["content"], str) or not turn["content"].strip():
            raise TaskError(f"{where}: a message's content must be text that is not empty")
        messages.append(Message(role=turn["role"], content=turn["content"]))
    if messages[-1].role != "user":
        raise TaskError(f"{where}: the last message must be the user's")
    return tuple(messages)


def _references(
    fields: Mapping[str, Any], choices: tuple[str, ...], templates: LineTemplates, *, where: str
) -> tuple[str, ...]:
    if templates.target is not None:
        return (_render(templates.target, fields, where=where),)
    if "answer" in fields and choices:
        return (_chosen(fields["answer"], choices, where=where),)
    if "reference" in fields:
        return _texts({"reference": [fields["reference"]]}, "reference", where=where)
    return _texts(fields, "references", where=where)


def _chosen(answer: Any, choices: tuple[str, ...], *, where: str) -> str:
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return choices[answer]
    if answer in choices:
        return str(answer)
    raise TaskError(
        f"{where}: answer must be a choice or its index from 0 to {len(choices) - 1}; "
        f"got {answer!r:.80}"
    )


def _render(template: Template, fields: Mapping[str, Any], *, where: str) -> str:
    try:
        return template.render(fields)
    except TemplateError as error:
        raise TaskError(f"{where}: template: {error}") from error


def _texts(fields: Mapping[str, Any], key: str, *, where: str) -> tuple[str, ...]:
    values = fields.get(key, [])
    if not isinstance(values, list):
        raise TaskError(f"{where}: {key} must be a list of texts; got {values!r:.80}")
    numbers = [str(value) if type(value) in (int, float) else value for value in values]
    if not all(isinstance(value, str) for value in numbers):
        raise TaskError(f"{where}: {key} must hold texts or numbers; got {values!r:.80}")
    return tuple(numbers)


def _images(fields: Mapping[str, Any], folder: Path, *, where: str) -> tuple[Image, ...]:
    one = fields.get("image")
    if one is not None and "images" in fields:
        raise TaskError(f"{where}: has both image and images")
    named = _texts(fields, "images", where=where) if one is None else (one,)
    if not all(isinstance(name, str) and name for name in named):
        raise TaskError(f"{where}: image must be the path of a picture; got {one!r:.80}")
    return tuple(read_image(folder / name, where=where) for name in named)


def _label(fields: Mapping[str, Any], key: str) -> str | None:
    return None if fields.get(key) is None else str(fields[key])


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    others = {key: value for key, value in fields.items() if key not in _KNOWN_FIELDS}
    own_id = {} if fields.get("id") is None else {"id": fields["id"]}
    return {**others, **fields.get("metadata", {}), **own_id}
