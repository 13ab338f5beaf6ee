import json
import shutil
from pathlib import Path

import pytest

from evalcore.errors import ModelError
from evalcore.protocols import GenerateRequest, LoglikelihoodRequest
from evalcore.records import Message, SamplingParams
from runners.chat_templates import CHAT_TEMPLATES

ASK = (Message(role="user", content="Why?"),)
TALK = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Hello"),
    Message(role="user", content="Why?"),
)

EXPECTED = {
    "alpaca": (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\nWhy?\n\n### Response:",
        "Be brief.\n\n### Instruction:\nHi\n\n### Response:Hello</s>\n\n### Instruction:\nWhy?"
        "\n\n### Response:",
    ),
    "vicuna": (
        "A chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions. USER: Why? "
        "ASSISTANT:",
        "Be brief. USER: Hi ASSISTANT: Hello</s>USER: Why? ASSISTANT:",
    ),
    "oasst": (
        "<|prompter|>Why?</s><|assistant|>",
        "<|system|>Be brief.</s><|prompter|>Hi</s><|assistant|>Hello</s><|prompter|>Why?</s>"
        "<|assistant|>",
    ),
    "koala": (
        "BEGINNING OF CONVERSATION: USER: Why? GPT:",
        "BEGINNING OF CONVERSATION: Be brief. USER: Hi GPT:Hello</s>USER: Why? GPT:",
    ),
    "chatml": (
        "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
        "<|im_start|>assistant\n",
    ),
    "dolly": (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\nWhy?\n\n### Response:\n",
        "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n### End\n\n### Instruction:\n"
        "Why?\n\n### Response:\n",
    ),
    "stablelm": (
        "<|SYSTEM|># StableLM Tuned (Alpha version)\n- StableLM is a helpful and harmless "
        "open-source AI language model developed by StabilityAI.\n- StableLM is excited to be able "
        "to help the user, but will refuse to do anything that could be considered harmful to the "
        "user.\n- StableLM is more than just an information source, StableLM is also able to write "
        "poetry, short stories, and make jokes.\n- StableLM will refuse to participate in anything "
        "that could harm a human.\n<|USER|>Why?<|ASSISTANT|>",
        "<|SYSTEM|>Be brief.<|USER|>Hi<|ASSISTANT|>Hello<|USER|>Why?<|ASSISTANT|>",
    ),
    "stablevicuna": (
        "### Human: Why?\n### Assistant:",
        "Be brief.\n### Human: Hi\n### Assistant: Hello\n### Human: Why?\n### Assistant:",
    ),
    "gpt4all": (
        "### Instruction: \nThe prompt below is a question to answer, a task to complete, or a "
        "conversation to respond to; decide which and write an appropriate response.\n"
        "### Prompt: \nWhy?\n### Response:",
        "Be brief.\n### Instruction: \nThe prompt below is a question to answer, a task to "
        "complete, or a conversation to respond to; decide which and write an appropriate "
        "response.\n### Prompt: \nHi\n### Response: Hello\nWhy?\n### Response:",
    ),
    "llama-2": (
        "[INST] Why? [/INST]",
        "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Why? [/INST]",
    ),
}
"""What each form makes of a question and of a conversation; sources in CHAT_TEMPLATES."""


def render(tokenizer, name, messages):
    return tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in messages],
        chat_template=CHAT_TEMPLATES[name].jinja,
        tokenize=False,
        add_generation_prompt=True,
    )


def continued(runner, collect, prompt, **params):
    request = GenerateRequest(prompt=prompt, params=SamplingParams(max_new_tokens=8, **params))
    return collect(runner.generate([request]))[0]


def with_template(folder: Path, to: Path, template: str) -> Path:
    to = shutil.copytree(folder, to)
    (to / "chat_template.jinja").write_text(template)
    return to


@pytest.mark.parametrize("name", CHAT_TEMPLATES)
def test_template_writes_the_published_form(llama, plain, name):
    _, tokenizer = plain.load(llama.folder)
    assert (render(tokenizer, name, ASK), render(tokenizer, name, TALK)) == EXPECTED[name]


@pytest.mark.parametrize("name", CHAT_TEMPLATES)
def test_named_template_is_read_as_plain_text(llama, run_model, collect, name):
    chat = continued(run_model(f"hf:{llama.folder}?template={name}"), collect, ASK)
    text = continued(run_model(f"hf:{llama.folder}"), collect, EXPECTED[name][0])
    assert chat.text == text.text
    assert chat.prompt_tokens == text.prompt_tokens


def test_own_template_gets_no_second_mark(llama, run_model, collect, tmp_path):
    template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    folder = with_template(llama.folder, tmp_path / "m", template)
    chat = continued(run_model(f"hf:{folder}"), collect, ASK)
    text = continued(run_model(f"hf:{llama.folder}"), collect, "Why?")
    assert (chat.text, chat.prompt_tokens) == (text.text, text.prompt_tokens)


def test_template_of_the_last_adapter_wins_over_the_base_s(llama, run_model, collect, tmp_path):
    plain_form = "{% for m in messages %}{{ m.content }}{% endfor %}"
    base = with_template(llama.folder, tmp_path / "m", "base" + plain_form)
    adapter = with_template(llama.adapters["first"], tmp_path / "a", "adapter" + plain_form)
    runner = run_model(f"hf:{base}+lora:{adapter}*0")
    forms = ("baseWhy?", "adapterWhy?")
    without_mark = [continued(runner, collect, f).prompt_tokens - 1 for f in forms]
    assert continued(runner, collect, ASK).prompt_tokens == without_mark[1] != without_mark[0]


def test_template_of_an_adapter_is_part_of_the_fingerprint(llama, tmp_path):
    from runners import parse_model, resolve

    adapter = with_template(llama.adapters["first"], tmp_path / "a", "x")
    one, other = (
        resolve(parse_model(f"hf:{llama.folder}+lora:{a}"))
        for a in (llama.adapters["first"], adapter)
    )
    assert one.fingerprint != other.fingerprint


def test_messages_without_any_template_name_those_there_are(llama, run_model):
    requests = [LoglikelihoodRequest(context=ASK, continuation=" x")]
    with pytest.raises(ModelError, match=r"ships no chat template; .* alpaca, vicuna, oasst"):
        list(run_model(f"hf:{llama.folder}").loglikelihood(requests))


def test_refusal_of_a_template_is_passed_on(llama, run_model, tmp_path):
    template = "{{ raise_exception('no system role') }}"
    folder = with_template(llama.folder, tmp_path / "m", template)
    requests = [LoglikelihoodRequest(context=TALK, continuation=" x")]
    with pytest.raises(ModelError, match=r"refuses the turns system, user, .*: no system role"):
        list(run_model(f"hf:{folder}").loglikelihood(requests))


def test_template_s_end_of_turn_ends_an_answer(llama, run_model, collect, monkeypatch):
    from dataclasses import replace

    from runners import chat_templates

    text = continued(run_model(f"hf:{llama.folder}"), collect, EXPECTED["koala"][0]).text
    koala = replace(CHAT_TEMPLATES["koala"], stop=(text[3:5],))
    monkeypatch.setitem(chat_templates.CHAT_TEMPLATES, "koala", koala)
    runner = run_model(f"hf:{llama.folder}?template=koala", batch_size=2)
    assert continued(runner, collect, ASK).text == text.split(text[3:5])[0]


def test_loglikelihood_after_a_chat_equals_that_after_its_text(llama, run_model, collect):
    chat = LoglikelihoodRequest(context=TALK, continuation=" x")
    text = LoglikelihoodRequest(context=EXPECTED["vicuna"][1], continuation=" x")
    runner = run_model(f"hf:{llama.folder}?template=vicuna")
    (first,) = collect(runner.loglikelihood([chat]))
    (second,) = collect(runner.loglikelihood([text]))
    assert first == second


def test_tokenizer_config_may_hold_the_template(llama, run_model, collect, tmp_path):
    adapter = shutil.copytree(llama.adapters["first"], tmp_path / "a")
    config = {"chat_template": "{{ messages[0].content }}"}
    (adapter / "tokenizer_config.json").write_text(json.dumps(config))
    runner = run_model(f"hf:{llama.folder}+lora:{adapter}")
    plain_tokens = continued(runner, collect, "Why?").prompt_tokens
    assert continued(runner, collect, ASK).prompt_tokens == plain_tokens - 1
