"""Chat templates for models that ship none.

Each is a Jinja template over ``messages``, ``add_generation_prompt`` and ``eos_token``, as
transformers renders them. They write plain text: what a tokenizer puts in front of any text (a
first-token mark) is put in front of theirs too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["CHAT_TEMPLATES", "ChatTemplate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """How a conversation becomes text."""

    jinja: str
    stop: tuple[str, ...]
    """Marks that a model trained on this form writes when its turn is over."""
    source: str
    """Where the form was published."""


_ALPACA = """\
{%- if messages[0].role == 'system' %}{{ messages[0].content }}
{%- else -%}
Below is an instruction that describes a task. \
Write a response that appropriately completes the request.
{%- endif %}
{%- for message in messages if message.role != 'system' %}
{%- if message.role == 'user' %}{{ '\\n\\n### Instruction:\\n' + message.content }}
{%- else %}{{ '\\n\\n### Response:' + message.content + (eos_token or '') }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '\\n\\n### Response:' }}{% endif %}"""

_VICUNA = """\
{%- if messages[0].role == 'system' %}{{ messages[0].content + ' ' }}
{%- else %}{{ "A chat between a curious user and an artificial intelligence assistant. \
The assistant gives helpful, detailed, and polite answers to the user's questions. " }}
{%- endif %}
{%- for message in messages if message.role != 'system' %}
{%- if message.role == 'user' %}{{ 'USER: ' + message.content + ' ' }}
{%- else %}{{ 'ASSISTANT: ' + message.content + (eos_token or '') }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"""

_OASST = """\
{%- set marks = {'system': '<|system|>', 'user': '<|prompter|>', 'assistant': '<|assistant|>'} %}
{%- for message in messages %}
{{- marks[message.role] + message.content + (eos_token or '') }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

_KOALA = """\
{{- 'BEGINNING OF CONVERSATION: ' }}
{%- for message in messages %}
{%- if message.role == 'assistant' %}{{ 'GPT:' + message.content + (eos_token or '') }}
{%- elif message.role == 'user' %}{{ 'USER: ' + message.content + ' ' }}
{%- else %}{{ message.content + ' ' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'GPT:' }}{% endif %}"""

_CHATML = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

CHAT_TEMPLATES: Final[Mapping[str, ChatTemplate]] = {
    "alpaca": ChatTemplate(
        jinja=_ALPACA,
        stop=("\n\n### Instruction:",),
        source="tatsu-lab/stanford_alpaca, train.py, PROMPT_DICT, prompt_no_input (2023)",
    ),
    "vicuna": ChatTemplate(
        jinja=_VICUNA,
        stop=("USER:",),
        source="lm-sys/FastChat, fastchat/conversation.py, vicuna_v1.1 (2023)",
    ),
    "oasst": ChatTemplate(
        jinja=_OASST,
        stop=("<|prompter|>",),
        source="OpenAssistant/oasst-sft-4-pythia-12b-epoch-3.5, model card, Prompting (2023)",
    ),
    "koala": ChatTemplate(
        jinja=_KOALA,
        stop=("USER:",),
        source="young-geng/EasyLM, docs/koala.md, flags of llama_serve (2023)",
    ),
    "chatml": ChatTemplate(
        jinja=_CHATML,
        stop=("<|im_end|>",),
        source="openai/openai-python, chatml.md, version 0 (2023)",
    ),
}
"""By the name that ``?template=`` takes."""
