"""Answers that say who they are: the name is masked and noted, the answer is never dropped.

What is masked, in answers only, never in what a visitor typed:

- names of the arena's own models, wherever they stand;
- plain words among those names, such as ``koala``, where they are written with a capital letter;
- the same and well-known makers and models, and whoever follows "trained by", in sentences in which
  the author speaks of itself.

A name that the prompt brought up is masked only in such sentences too. Letters of other alphabets
that look alike, invisible characters, entities, emphasis and separators within a name don't hide
it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import PurePath

from arena.known_names import KNOWN_NAMES
from evalcore.records import ModelSpec

__all__ = ["HIDDEN", "Masked", "Masker", "MaskingStream", "names_of"]

HIDDEN = "[hidden]"

_LOOKALIKES = str.maketrans("аеорсхуіѕјкмтнвοαεικνρτυ", "aeopcxyisjkmthboaeikvptu")
_CHARACTER = re.compile(
    r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]\w{1,31});|.", re.DOTALL | re.IGNORECASE
)
"""As a page shows them: an entity is one."""
_WITHIN = r"(?:[*_`~\\.\-]{0,3}|\s)"
_BETWEEN = r"[\s*_`~\\.\-/:]{0,4}"
_VERSION = r"(?:[\s\-]?v?\d+(?:\.\d+)*[bm]?(?![a-z0-9]))*"
_LEAST_SPACED = 5
"""Letters that a name needs to be recognised with spaces in between."""

_MADE = (
    r"(?:trained|pre-?trained|created|developed|built|made|designed|fine-?tuned|powered|released"
    r"|provided|programmed|maintained|deployed|offered)"
)
_KIND = r"(?:language model|model|assistant|ai|a\.i\.|chat ?bot|bot|llm)"
_AUTHOR = re.compile(
    r"\b(?:i am|i['’]m|im|i was|i have been|i['’]ve been|i belong|i come from|my names?|call me"
    r"|call myself|my (?:creators?|developers?|makers?|company|training|knowledge)|we are|we['’]re"
    rf"|our (?:team|company|model)|made me|trained me|created me|built me|this {_KIND})\b"
    rf"|\bas an? [^.!?\n]{{0,60}}\b{_KIND}\b"
    rf"|^\W*(?:{_MADE}) (?:by|at)\b"
    r"|^\W*\w+ here\b"
    r"|我是|我叫|我的名字|我由|我被|作为|本模型|本助手"
    r"|\b(?:tôi|mình) (?:là|được|tên)|tên (?:của )?(?:tôi|mình)|là một (?:mô hình|trợ lý)"
)
_MAKER = re.compile(
    rf"\b{_MADE}(?: and {_MADE})? (?:by|at) (?P<en>[^,.;:!?\n()]{{1,80}}?)"
    r"(?=[,.;:!?\n()]|$| (?:to|and|that|which|who|on|using|with|for|in|as|so|but)\b)"
    r"|由(?P<zh>[^，。,.\n]{1,24}?)(?:开发|训练|创建|研发|推出|打造|提供)"
    r"|\b(?:phát triển|huấn luyện|đào tạo|tạo ra|xây dựng) bởi (?P<vi>[^,.;:!?\n()]{1,60}?)"
    r"(?=[,.;:!?\n()]|$| (?:để|và|với)\b)"
)
_OWN_NAME = re.compile(
    r"\b(?:my name is|call me|i am|i['’]m|i am called|i['’]m called|tôi là|tôi tên là)"
    r" [*_`\"'“]{0,3}(?P<name>[^\W\d_][\w\-]*(?:[ \-][^\W_]?[\w\-]*\d[\w.\-]*)?)"
)
_AI = re.compile(rf"\b{_KIND}\b")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]*_`]*\s|[。！？]|\n\n")
_LONGEST = 400
_SURE = 300
"""Of a sentence longer than the longest, this much is let go; no name is as long as the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """A text as it may be shown."""

    text: str
    leaks: tuple[str, ...]
    """What was masked, each once, in order."""


def names_of(spec: ModelSpec) -> list[str]:
    """Return what a model may call itself: names and last parts of paths, of base and adapters."""
    parts = [spec.name, spec.weights, PurePath(spec.weights).name]
    for adapter in spec.adapters:
        parts += [adapter.name, adapter.path, PurePath(adapter.path).name]
    # A folder's path is no name that anything would say.
    return list(dict.fromkeys(part for part in parts if part and not PurePath(part).is_absolute()))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one sentence says of its author."""

    spans: list[tuple[int, int]]
    """What has to be masked, in order, without overlaps."""
    of_itself: bool
    """Whether the author speaks of itself, in English, Chinese or Vietnamese."""


class Masker:
    """Masks answers of a set of models.

    Parameters
    ----------
    names
        What the arena's models are called (:func:`names_of`), and whatever else must not be seen.
    """

    def __init__(self, names: Collection[str]) -> None:
        parted = {tuple(parts) for name in names if (parts := _parts(name))}
        families = [_parts(name.rpartition("/")[2])[:1] for name in names]
        plain = {parts[0] for parts in families if parts and _is_word(parts[0])}
        self._distinctive = _pattern(parts for parts in parted if len(parts) > 1)
        whole = {"".join(parts) for parts in parted}
        self._plain = _pattern([word] for word in plain | {w for w in whole if len(w) > 2})
        # Two letters are too often another word, and one says nothing at all.
        short = [[word] for word in whole if len(word) == 2]
        self._known = _pattern([*short, *map(_parts, KNOWN_NAMES)])

    def mask(self, text: str, *, prompt: str = "") -> Masked:
        """Mask a whole answer to a prompt; an empty one comes back as it is."""
        stream = self.stream(prompt=prompt)
        shown = stream.feed(text) + stream.finish()
        return Masked(text=shown, leaks=stream.leaks)

    def stream(self, *, prompt: str = "") -> MaskingStream:
        """Mask an answer to a prompt while it is made."""
        return MaskingStream(self, prompt=prompt)

    def read(self, sentence: str, *, asked: str, goes_on: bool) -> Reading:
        """Find what has to be masked in one sentence.

        Parameters
        ----------
        sentence
            A part of an answer.
        asked
            The prompt, folded.
        goes_on
            Whether the author spoke of itself in the sentence before.
        """
        folded = _Folded(sentence)
        of_itself = _AUTHOR.search(folded.text) is not None
        found: list[tuple[int, int]] = []
        for match in self._distinctive.finditer(folded.text):
            if of_itself or goes_on or match.group() not in asked:
                found.append(folded.span(match))
        for match in self._plain.finditer(folded.text):
            start, end = folded.span(match)
            is_topic = match.group() in asked and not goes_on
            if of_itself or (sentence[start].isupper() and not is_topic):
                found.append((start, end))
        if of_itself:
            found += [folded.span(match) for match in self._known.finditer(folded.text)]
            found += _introduced(sentence, folded)
        return Reading(_merged(found), of_itself)


class MaskingStream:
    """One answer, masked sentence by sentence as it is made.

    The pieces put together are what :meth:`Masker.mask` makes of the whole, however it is cut.
    """

    def __init__(self, masker: Masker, *, prompt: str) -> None:
        self._masker = masker
        self._asked = _Folded(prompt).text
        self._held = ""
        self._goes_on = False
        self._leaks: dict[str, None] = {}

    @property
    def leaks(self) -> tuple[str, ...]:
        """What was masked so far, each once, in order."""
        return tuple(self._leaks)

    def feed(self, piece: str) -> str:
        """Take what comes next; return what may be shown, maybe nothing."""
        self._held += piece
        shown = []
        while end := _sentence_end(self._held):
            shown.append(self._mask(self._held[:end]))
            self._held = self._held[end:]
        while len(self._held) >= _LONGEST:
            shown.append(self._mask_beginning())
        return "".join(shown)

    def finish(self) -> str:
        """Return the rest."""
        rest, self._held = self._held, ""
        return self._mask(rest)

    def _mask_beginning(self) -> str:
        """Let go of the beginning of a sentence without end, but not of half a name."""
        held = self._held[:_LONGEST]
        spans = self._masker.read(held, asked=self._asked, goes_on=self._goes_on).spans
        space = held.rfind(" ", 1, _SURE) + 1
        end = space or _SURE
        end = next((start for start, stop in spans if start < end < stop), end) or _LONGEST
        shown = self._mask(held[:end])
        self._held = self._held[end:]
        return shown

    def _mask(self, sentence: str) -> str:
        reading = self._masker.read(sentence, asked=self._asked, goes_on=self._goes_on)
        self._goes_on = reading.of_itself
        shown, at = [], 0
        for start, end in reading.spans:
            self._leaks[" ".join(sentence[start:end].split())] = None
            shown += [sentence[at:start], HIDDEN]
            at = end
        return "".join([*shown, sentence[at:]])


class _Folded:
    """A text in the form in which names are looked for, and where each character came from."""

    def __init__(self, text: str) -> None:
        if text.isascii() and "&" not in text:
            self.text = text.lower()
            self._starts: Sequence[int] = range(len(text))
            self._ends: Sequence[int] = range(1, len(text) + 1)
            return
        letters: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        for match in _CHARACTER.finditer(text):
            seen = unescape(match.group())
            shown = "".join(one for one in seen if unicodedata.category(one) != "Cf")
            folded = unicodedata.normalize("NFKC", shown).casefold().translate(_LOOKALIKES)
            letters.append(folded)
            starts += [match.start()] * len(folded)
            ends += [match.end()] * len(folded)
        self.text, self._starts, self._ends = "".join(letters), starts, ends

    def span(self, match: re.Match[str], group: int | str = 0) -> tuple[int, int]:
        """Return where a match lies in the text as it was."""
        start, end = match.span(group)
        return self._starts[start], self._ends[end - 1]


def _parts(name: str) -> list[str]:
    """Split a name at separators and between letters and digits, folded."""
    return re.findall(r"[^\W\d_]+|\d+", _Folded(name).text)


def _is_word(part: str) -> bool:
    return part.isalpha() and (len(part) > 3 or not part.isascii())


def _pattern(names: Iterable[Sequence[str]]) -> re.Pattern[str]:
    """Compile a search for any of some names, longest first; for none, what never matches."""
    written = sorted({_written(parts) for parts in names if "".join(parts)}, key=len, reverse=True)
    if not written:
        return re.compile(r"(?!)")
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(written)}){_VERSION}(?![a-z])")


def _written(parts: Sequence[str]) -> str:
    is_long = sum(map(len, parts)) >= _LEAST_SPACED
    within = _WITHIN if is_long else r"[*_`~\\]{0,3}"
    return _BETWEEN.join(within.join(map(re.escape, part)) for part in parts)


def _introduced(sentence: str, folded: _Folded) -> Iterator[tuple[int, int]]:
    """Find names that nobody knows: makers, and what an assistant says that it is called."""
    for match in _MAKER.finditer(folded.text):
        group = next(name for name, value in match.groupdict().items() if value)
        start, end = folded.span(match, group)
        if group == "zh" or any(letter.isupper() for letter in sentence[start:end]):
            yield start, end
    if _AI.search(folded.text):
        for match in _OWN_NAME.finditer(folded.text):
            start, end = folded.span(match, "name")
            if sentence[start].isupper():
                yield start, end


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _sentence_end(text: str) -> int:
    """Return where the first sentence ends, 0 if it doesn't yet."""
    match = _SENTENCE_END.search(text[:_LONGEST])
    return match.end() if match else 0
