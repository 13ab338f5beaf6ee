"""Text to tokens and back, by the conventions that lm-evaluation-harness made customary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evalcore.errors import ModelError
from evalcore.protocols import LoglikelihoodRequest, Prompt, RollingRequest
from evalcore.records import Message, ModelSpec
from runners.adapters import adapter_template
from runners.chat_templates import CHAT_TEMPLATES
from runners.token_boundary import divided

__all__ = ["Encoder"]


class Encoder:
    """A tokenizer with a chat template.

    Plain text, and what the templates of :mod:`runners.chat_templates` write, gets the marks in
    front that the tokenizer puts there by default (such as LLaMA's ``<s>``) unless it begins with
    them, and never a mark at the end. What a model's own template writes is taken as it stands: it
    brings its marks along.

    Parameters
    ----------
    tokenizer
        Of transformers.
    spec
        Of the variant: ``chat_template`` wins over a template in the folder of an adapter (the
        last that has one), which wins over the base's own.
    image_mark
        What stands for a picture in a text; None for a model that reads text alone. The own
        template of a model with pictures is given turns of several parts, as it expects.
    """

    def __init__(self, tokenizer: Any, spec: ModelSpec, *, image_mark: str | None = None) -> None:
        self._tokenizer = tokenizer
        self._image_mark = image_mark
        self._spec = spec
        self._marks = _leading_marks(tokenizer)
        self._marks_text: str = tokenizer.decode(self._marks) if self._marks else ""
        named = CHAT_TEMPLATES.get(spec.chat_template or "")
        self._template = named.jinja if named else _own_template(tokenizer, spec)
        self._template_brings_marks = named is None
        self.stop: tuple[str, ...] = named.stop if named else ()
        """Ends of turn that the named template adds to a request's stop strings."""

    @property
    def style(self) -> tuple[str | None, bool]:
        """What tells encoders of one tokenizer apart: the template, and whether it brings marks."""
        return self._template, self._template_brings_marks

    @property
    def first_token(self) -> int:
        """What stands before an empty context: the first-token mark, else the end-of-text mark."""
        for token in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        raise ModelError(
            f"model {self._spec.name!r} has neither a first-token nor an end-of-text mark; text "
            "can't be scored without a context"
        )

    def prompts(
        self, prompts: Sequence[Prompt], *, as_text: Sequence[bool] = ()
    ) -> list[list[int]]:
        """Tokenise prompts; an empty one becomes the first-token mark.

        ``as_text`` says of each whether its turns are :meth:`written`; of none where it is empty.
        """
        texts, marks = self._texts_and_marks(prompts, as_text=as_text)
        ids = self._tokenise(texts)
        return [
            mark + ids[text] or [self.first_token] for text, mark in zip(texts, marks, strict=True)
        ]

    def pairs(self, requests: Sequence[LoglikelihoodRequest]) -> list[tuple[list[int], list[int]]]:
        """Tokenise contexts with their continuations.

        White space at a context's end moves to the continuation. Both are tokenised together and
        :func:`~runners.token_boundary.divided`.

        Returns
        -------
        list of tuple
            Tokens of context and continuation. The context always has one, for an empty text the
            first-token mark. The continuation has none only if its text is empty.
        """
        rendered, marks = self._texts_and_marks(
            [request.context for request in requests],
            as_text=[request.harness_rules for request in requests],
        )
        contexts = [text.rstrip() for text in rendered]
        wholes = [
            text + request.continuation for text, request in zip(rendered, requests, strict=True)
        ]
        ids = self._tokenise([*contexts, *wholes])
        pairs: list[tuple[list[int], list[int]]] = []
        for i, request in enumerate(requests):
            if not request.continuation:
                pairs.append((marks[i] + ids[wholes[i]] or [self.first_token], []))
                continue
            context, continuation = divided(
                ids[contexts[i]], ids[wholes[i]], harness_rules=request.harness_rules
            )
            pairs.append((marks[i] + context or [self.first_token], continuation))
        return pairs

    def rolling(self, requests: Sequence[RollingRequest]) -> list[list[int]]:
        """Tokenise whole texts, with the marks in front only where those are scored too."""
        tokens = self.texts([request.text for request in requests])
        return [
            [*(self._marks if request.scores_marks else []), *ids]
            for request, ids in zip(requests, tokens, strict=True)
        ]

    def text(self, prompt: Prompt, *, n_images: Sequence[int]) -> str:
        """Return a prompt as text with marks: those in front, and one for each picture.

        Pictures stand in front of the text of each message, of which `n_images` says how many; a
        plain text counts as one.
        """
        texts, marks = self._texts_and_marks([prompt], n_images=n_images)
        return str(self._tokenizer.decode(marks[0], skip_special_tokens=False)) + texts[0]

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenise texts with no marks at all."""
        ids = self._tokenise(texts)
        return [ids[text] for text in texts]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Turn tokens into texts, leaving out marks; spaces stay as they are."""
        texts: list[str] = self._tokenizer.batch_decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts

    def end_tokens(self, stop: Iterable[str]) -> set[int]:
        """Return the end-of-text mark and those of the stop strings that are a mark themselves.

        Marks don't show in decoded text, so they can only be seen as tokens.
        """
        marks = {
            mark.content: token
            for token, mark in self._tokenizer.added_tokens_decoder.items()
            if mark.special
        }
        ends = [self._tokenizer.eos_token_id, *(marks.get(text) for text in stop)]
        return {int(token) for token in ends if token is not None}

    def _texts_and_marks(
        self,
        prompts: Sequence[Prompt],
        *,
        as_text: Sequence[bool] = (),
        n_images: Sequence[int] = (),
    ) -> tuple[list[str], list[list[int]]]:
        texts, marks = [], []
        for prompt, is_written in zip(prompts, as_text or [False] * len(prompts), strict=True):
            is_text = isinstance(prompt, str) or is_written
            if isinstance(prompt, str):
                texts.append(self._shown(prompt, sum(n_images)))
            elif is_written:
                texts.append(self.written(prompt))
            else:
                texts.append(self.render(prompt, n_images=n_images))
            has_marks = self._template_brings_marks and not is_text
            marks.append([] if has_marks else self._marks_before(texts[-1]))
        return texts, marks

    def _marks_before(self, text: str) -> list[int]:
        has_marks = self._marks_text and text.startswith(self._marks_text)
        return [] if has_marks else self._marks

    def _shown(self, text: str, n_images: int) -> str:
        return f"{(self._image_mark or '') * n_images}\n{text}" if n_images else text

    def _turn(self, message: Message, n_images: int) -> dict[str, Any]:
        if self._image_mark is None or not self._template_brings_marks:
            return {"role": message.role, "content": self._shown(message.content, n_images)}
        pictures: list[dict[str, str]] = [{"type": "image"}] * n_images
        text = {"type": "text", "text": message.content}
        return {"role": message.role, "content": [*pictures, text]}

    def render(
        self, messages: Sequence[Message], *, n_images: Sequence[int] = (), goes_on: bool = False
    ) -> str:
        """Write turns as the chat template does.

        Parameters
        ----------
        messages
            At least one.
        n_images : (n_messages,)
            Pictures of each; none at all where it is empty.
        goes_on
            Whether the last turn is left open, to be continued, instead of a new one begun.

        Raises
        ------
        ModelError
            If there is no template, or it refuses the turns.
        """
        if self._template is None:
            raise ModelError(
                f"model {self._spec.name!r} ships no chat template; choose one with ?template=: "
                f"{', '.join(CHAT_TEMPLATES)}"
            )
        counts = n_images or [0] * len(messages)
        turns = [self._turn(turn, n) for turn, n in zip(messages, counts, strict=True)]
        try:
            text: str = self._tokenizer.apply_chat_template(
                turns,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=not goes_on,
                continue_final_message=goes_on,
            )
        except Exception as error:
            # A template raises what it likes; transformers hands it on.
            roles = ", ".join(message.role for message in messages)
            raise ModelError(
                f"the chat template of model {self._spec.name!r} refuses the turns {roles}: {error}"
            ) from None
        return text

    def written(self, turns: Sequence[Message], *, goes_on: bool | None = None) -> str:
        """Write turns as lm-evaluation-harness does.

        Parameters
        ----------
        turns
            At least one; those of the system are left out where the template refuses them.
        goes_on
            Whether the last turn is left open; None means if it is the assistant's.

        Raises
        ------
        ModelError
            If there is no template, or it refuses the other turns.
        """
        goes_on = turns[-1].role == "assistant" if goes_on is None else goes_on
        try:
            return self.render(turns, goes_on=goes_on)
        except ModelError:
            others = [turn for turn in turns if turn.role != "system"]
            if len(others) == len(turns):
                raise
            return self.render(others, goes_on=goes_on)

    def _tokenise(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """Tokenise each distinct text once, all in one call, with no marks."""
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return {}
        encoded = self._tokenizer(distinct, add_special_tokens=False, verbose=False)
        return dict(zip(distinct, encoded["input_ids"], strict=True))


def _leading_marks(tokenizer: Any) -> list[int]:
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    marked = list(tokenizer("a")["input_ids"])
    starts = range(len(marked) - len(bare) + 1)
    at = next((i for i in starts if marked[i : i + len(bare)] == bare), 0)
    return marked[:at]


def _own_template(tokenizer: Any, spec: ModelSpec) -> str | None:
    for adapter in reversed(spec.adapters):
        template = adapter_template(Path(adapter.path))
        if template is not None:
            return template
    own: str | dict[str, str] | None = tokenizer.chat_template
    return own.get("default") if isinstance(own, dict) else own
