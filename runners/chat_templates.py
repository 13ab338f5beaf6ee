"""Chat templates for models that ship none.

Each is a Jinja template over ``messages``, ``add_generation_prompt``, ``bos_token`` and
``eos_token``, as transformers renders them. A system turn replaces what a form says by itself. They
write plain text: what a tokenizer puts in front of any text (a first-token mark) is put in front of
theirs too.
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

_DOLLY = """\
{%- if messages[0].role == 'system' %}{{ messages[0].content }}
{%- else -%}
Below is an instruction that describes a task. \
Write a response that appropriately completes the request.
{%- endif %}
{%- for message in messages if message.role != 'system' %}
{%- if message.role == 'user' %}{{ '\\n\\n### Instruction:\\n' + message.content }}
{%- else %}{{ '\\n\\n### Response:\\n' + message.content + '\\n\\n### End' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '\\n\\n### Response:\\n' }}{% endif %}"""

_STABLELM = """\
{{- '<|SYSTEM|>' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content }}
{%- else -%}
# StableLM Tuned (Alpha version){{ '\\n' -}}
- StableLM is a helpful and harmless open-source AI language model developed by StabilityAI.
{{- '\\n' -}}
- StableLM is excited to be able to help the user, but will refuse to do anything that could be \
considered harmful to the user.{{ '\\n' -}}
- StableLM is more than just an information source, StableLM is also able to write poetry, short \
stories, and make jokes.{{ '\\n' -}}
- StableLM will refuse to participate in anything that could harm a human.{{ '\\n' }}
{%- endif %}
{%- for message in messages if message.role != 'system' %}
{{- ('<|USER|>' if message.role == 'user' else '<|ASSISTANT|>') + message.content }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|ASSISTANT|>' }}{% endif %}"""

_STABLEVICUNA = """\
{%- for message in messages %}
{%- if message.role == 'user' %}{{ '### Human: ' + message.content + '\\n' }}
{%- elif message.role == 'assistant' %}{{ '### Assistant: ' + message.content + '\\n' }}
{%- else %}{{ message.content + '\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '### Assistant:' }}{% endif %}"""

_GPT4ALL = """\
{%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n' }}{% endif %}
{{- '### Instruction: \\n' -}}
The prompt below is a question to answer, a task to complete, or a conversation to respond to; \
decide which and write an appropriate response.
{{- '\\n### Prompt: ' }}
{%- for message in messages if message.role != 'system' %}
{%- if message.role == 'user' %}{{ '\\n' + message.content }}
{%- else %}{{ '\\n### Response: ' + message.content }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '\\n### Response:' }}{% endif %}"""

_LLAMA_2 = """\
{%- set told = namespace(system='') %}
{%- for message in messages %}
{%- if message.role == 'system' %}
{%- set told.system = '<<SYS>>\\n' + message.content + '\\n<</SYS>>\\n\\n' %}
{%- elif message.role == 'user' %}{{ '[INST] ' + told.system + message.content + ' [/INST]' }}
{%- set told.system = '' %}
{%- else %}{{ ' ' + message.content + ' ' + (eos_token or '') + (bos_token or '') }}
{%- endif %}
{%- endfor %}"""

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
    "dolly": ChatTemplate(
        jinja=_DOLLY,
        stop=("### End", "### Instruction:"),
        source="databrickslabs/dolly, training/consts.py, PROMPT_FOR_GENERATION_FORMAT (2023)",
    ),
    "stablelm": ChatTemplate(
        jinja=_STABLELM,
        stop=("<|USER|>", "<|ASSISTANT|>", "<|SYSTEM|>"),
        source="Stability-AI/StableLM, README, Quickstart (2023)",
    ),
    "stablevicuna": ChatTemplate(
        jinja=_STABLEVICUNA,
        stop=("### Human:",),
        source="TheBloke/stable-vicuna-13B-HF, model card, Prompt template (2023)",
    ),
    "gpt4all": ChatTemplate(
        jinja=_GPT4ALL,
        stop=("### Prompt:", "### Instruction:"),
        source="nomic-ai/gpt4all, gpt4all-bindings/java, LLModel.java, buildPrompt (2023)",
    ),
    "llama-2": ChatTemplate(
        jinja=_LLAMA_2,
        stop=(),
        source="lm-sys/FastChat, fastchat/conversation.py, llama-2 (2023), after "
        "facebookresearch/llama, llama/generation.py",
    ),
}
"""By the name that ``?template=`` takes."""
