"""Tasks with pictures, on a small random LLaVA and drawn pictures."""

import json
import shutil
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import pytest

from evalcore.codec import example_from, jsonable
from evalcore.errors import InputError, ModelError, TaskError
from evalcore.executors import run_requests
from evalcore.images import data_uri, image_bytes, read_image, thumbnail_uri
from evalcore.judges.prompt_files import bundled_protocols, load_protocol
from evalcore.judges.records import Answer
from evalcore.judges.rendering import Shown, requests
from evalcore.protocols import GenerateRequest, LoglikelihoodRequest, images_by_message
from evalcore.records import Message, SamplingParams
from evalcore.tasks import load_task
from evalcore.tasks.prompt_sets import read_prompts
from runners.fake import FakeResident

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {% for part in m.content %}{% if part.type == 'image' %}"
    "<image>{% else %}{{ part.text }}{% endif %}{% endfor %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
ASK = (Message(role="user", content="What colour is it?"),)


def draw(path: Path, colour: str, *, size=(40, 30), **options) -> Path:
    picture = PIL.Image.new("RGB", size, "white")
    PIL.ImageDraw.Draw(picture).ellipse((5, 5, size[0] - 6, size[1] - 6), fill=colour)
    picture.save(path, **options)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Four small pictures, and one of another size and kind."""
    folder = tmp_path_factory.mktemp("pictures")
    colours = ("red", "green", "blue", "black")
    drawn = [draw(folder / f"{colour}.png", colour) for colour in colours]
    drawn.append(draw(folder / "wide.jpg", "red", size=(90, 20)))
    return [read_image(path, where="test") for path in drawn]


@pytest.fixture(scope="module")
def llava(tmp_path_factory, llama) -> Path:
    """A LLaVA of two layers with random weights, and the tokenizer of the small LLaMA."""
    import torch
    from transformers import (
        AutoTokenizer,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = tmp_path_factory.mktemp("vision") / "llava"
    tokenizer = AutoTokenizer.from_pretrained(llama.folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=96,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        initializer_range=0.3,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config)
    for parameter in model.model.multi_modal_projector.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    side = {"height": 28, "width": 28}
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=side),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def plain_llava(llava):
    """Score by one plain forward: no padding, all logits."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(llava)
    model = AutoModelForImageTextToText.from_pretrained(llava).requires_grad_(False)

    def score(text: str, continuation: str, images) -> tuple[float, int]:
        opened = [PIL.Image.open(image.path).convert("RGB") for image in images]
        whole, context = (
            processor(text=[t], images=[opened], add_special_tokens=False, return_tensors="pt")
            for t in (text + continuation, text)
        )
        ids = whole["input_ids"][0]
        n_scored = len(ids) - context["input_ids"].shape[1]
        logprobs = model(**whole).logits[0].log_softmax(-1)[-n_scored - 1 : -1]
        return logprobs.gather(1, ids[-n_scored:, None]).sum().item(), n_scored

    return score


def rendered(text: str, n_images: int = 1) -> str:
    return f"user: {'<image>' * n_images}{text}\nassistant:"


def test_loglikelihoods_equal_a_plain_forward(llava, pictures, run_model, collect, plain_llava):
    asked = [
        LoglikelihoodRequest(
            context=(Message(role="user", content=text),), continuation=answer, images=(image,)
        )
        for image in pictures
        for text in ("What colour is it?", "Is it round, and how large would you say it is?")
        for answer in (" red", " a green one, I think")
    ]
    found = collect(run_model(f"hf:{llava}", batch_size=3).loglikelihood(asked))
    for request, one in zip(asked, found, strict=True):
        text = rendered(request.context[0].content)
        logprob, n_tokens = plain_llava(text, request.continuation, request.images)
        assert one.logprob == pytest.approx(logprob, abs=1e-4)
        assert one.n_tokens == n_tokens


def test_a_picture_changes_what_is_said_of_it(llava, pictures, run_model, collect):
    asked = [
        LoglikelihoodRequest(context=ASK, continuation=" red", images=(image,))
        for image in pictures[:3]
    ]
    found = collect(run_model(f"hf:{llava}").loglikelihood(asked))
    assert len({round(one.logprob, 4) for one in found}) == 3
    assert len({request.key for request in asked}) == 3


def test_several_pictures_and_none_may_be_mixed(llava, pictures, run_model, collect, plain_llava):
    asked = [
        LoglikelihoodRequest(context=ASK, continuation=" red", images=tuple(pictures[:n]))
        for n in (2, 0, 1)
    ] + [LoglikelihoodRequest(context=ASK, continuation="", images=(pictures[0],))]
    found = collect(run_model(f"hf:{llava}").loglikelihood(asked))
    for one, n in zip(found, (2, 1), strict=False):
        text = rendered(ASK[0].content, n_images=n)
        if one is found[0]:
            assert one.logprob == pytest.approx(
                plain_llava(text, " red", pictures[:2])[0], abs=1e-4
            )
    assert found[1].logprob != found[2].logprob
    assert (found[3].logprob, found[3].n_tokens) == (0.0, 0)


def test_answers_do_not_depend_on_the_batch(llava, pictures, run_model, collect):
    asked = [
        GenerateRequest(
            prompt=(Message(role="user", content=text),),
            params=SamplingParams(max_new_tokens=6, temperature=temperature),
            images=(image,),
        )
        for image in pictures
        for text in ("What?", "Tell me more about this picture.")
        for temperature in (0.0, 1.0)
    ]
    together = collect(run_model(f"hf:{llava}", batch_size=8).generate(asked))
    alone = collect(run_model(f"hf:{llava}", batch_size=1).generate(asked))
    assert [one.text for one in together] == [one.text for one in alone]
    assert together[0].prompt_tokens == alone[0].prompt_tokens > 4


def test_named_template_puts_the_picture_before_the_text(
    llava, pictures, run_model, collect, plain_llava
):
    request = LoglikelihoodRequest(context=ASK, continuation=" red", images=(pictures[0],))
    (found,) = collect(run_model(f"hf:{llava}?template=chatml").loglikelihood([request]))
    text = f"<s><|im_start|>user\n<image>\n{ASK[0].content}<|im_end|>\n<|im_start|>assistant\n"
    logprob, n_tokens = plain_llava(text.rstrip(), "\n red", request.images)
    assert found.n_tokens == n_tokens
    # White space at the end of a context moves to the continuation.
    assert found.logprob == pytest.approx(logprob, abs=1e-4)


def test_prompt_that_does_not_fit_with_its_picture_is_refused(llava, pictures, run_model):
    long = (Message(role="user", content="why " * 80),)
    request = LoglikelihoodRequest(context=long, continuation=" red", images=(pictures[0],))
    with pytest.raises(InputError, match=r"must fit the model's window of 96 tokens .* got \d+"):
        list(run_model(f"hf:{llava}").loglikelihood([request]))
    generate = GenerateRequest(
        prompt=long, params=SamplingParams(max_new_tokens=8), images=(pictures[0],)
    )
    with pytest.raises(InputError, match=r"must fit the model's window of 96 tokens"):
        list(run_model(f"hf:{llava}").generate([generate]))


def test_text_model_is_not_shown_pictures(llama, pictures, run_model):
    request = LoglikelihoodRequest(context="It is", continuation=" red", images=(pictures[0],))
    with pytest.raises(InputError, match=r"'llama' reads text alone; it can't be shown images"):
        run_requests(run_model(f"hf:{llama.folder}"), [request])


def test_fingerprint_covers_how_pictures_are_prepared(llava, tmp_path):
    from runners import parse_model, resolve

    other = shutil.copytree(llava, tmp_path / "other")
    settings = json.loads((other / "processor_config.json").read_text())
    settings["image_processor"]["do_center_crop"] = False
    (other / "processor_config.json").write_text(json.dumps(settings))
    one, two = (resolve(parse_model(f"hf:{folder}")) for folder in (llava, other))
    assert one.fingerprint != two.fingerprint


@pytest.fixture
def science(tmp_path: Path) -> Path:
    """A task in ScienceQA's shape: question, choices, hint, image, answer."""
    (tmp_path / "images").mkdir()
    draw(tmp_path / "images" / "a.png", "red")
    draw(tmp_path / "images" / "b.jpg", "blue")
    common = {"hint": "Look at the ellipse.", "choices": ["red", "blue"]}
    lines = [
        {"question": "Which colour?", "image": "images/a.png", "answer": 0, **common},
        {"question": "Which colour?", "image": "images/b.jpg", "answer": 1, **common},
        {"question": "Which is warmer?", "answer": 0, **common},
    ]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, lines)))
    definition = {
        "name": "science",
        "kind": "multiple_choice",
        "examples": "s.jsonl",
        "chat": True,
        "template": "Context: {{ hint }}\nQuestion: {{ question }}",
    }
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(definition))
    return path


def test_task_in_the_shape_of_scienceqa_is_evaluated(science, llava, tmp_path, monkeypatch):
    from evalcore.__main__ import main

    monkeypatch.setattr(
        "sys.argv",
        ["parity", "eval", "-m", f"hf:{llava}", "-t", str(science), "-w", str(tmp_path / "w")],
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)


def test_text_model_on_a_task_with_pictures_is_one_line(science, tmp_path, monkeypatch, capsys):
    from evalcore.__main__ import main

    arguments = ["eval", "-m", "fake:x", "-t", str(science), "-w", str(tmp_path / "w")]
    monkeypatch.setattr("sys.argv", ["parity", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("model 'x' reads text alone; it can't be shown images")
    )


def test_pictures_count_by_their_bytes_wherever_they_lie(science, tmp_path):
    first = load_task(str(science))
    elsewhere = shutil.copytree(science.parent, tmp_path / "copy")
    second = load_task(str(elsewhere / "s.yaml"))
    assert first.hash == second.hash
    assert first.requests(first.examples[0])[0].key == second.requests(second.examples[0])[0].key
    draw(elsewhere / "images" / "a.png", "green")
    third = load_task(str(elsewhere / "s.yaml"))
    assert third.hash != first.hash
    assert third.requests(third.examples[0])[0].key != first.requests(first.examples[0])[0].key


def test_request_without_pictures_keeps_its_key():
    request = GenerateRequest(prompt="x", params=SamplingParams())
    assert replace(request, images=()).key == request.key
    assert request.key == "4791a404fdc681b14d432536a766e273"


def test_example_with_pictures_survives_the_store(science):
    example = load_task(str(science)).examples[0]
    assert example_from(json.loads(json.dumps(jsonable(example)))) == example


def test_prompt_set_may_have_pictures(science, tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "What?", "image": "images/a.png"}))
    (example,) = read_prompts(tmp_path / "p.jsonl")
    assert image_bytes(example.images[0]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"GIF89a" + bytes(20)), "is no PNG or JPEG picture"),
        (lambda path: path.write_bytes(b""), "is no PNG or JPEG picture"),
        (lambda path: draw(path, "red", format="GIF"), "is no PNG or JPEG picture"),
        (lambda path: cut(draw(path, "red", format="PNG")), "is broken: "),
        (lambda path: cut(draw(path, "red", format="JPEG")), "is broken: "),
        (lambda path: path.mkdir(), "Is a directory"),
    ],
)
def test_bad_picture_is_one_line_with_file_and_line(tmp_path, make, reason):
    make(tmp_path / "x.png")
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "What?", "image": "x.png"}))
    with pytest.raises(TaskError, match=rf"p.jsonl, line 1: image .*x.png: {reason}") as caught:
        read_prompts(tmp_path / "p.jsonl")
    assert "\n" not in str(caught.value)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def test_picture_with_too_many_pixels_is_refused(tmp_path):
    PIL.Image.new("1", (9000, 9000)).save(tmp_path / "x.png")
    with pytest.raises(TaskError, match=r"at most 64,000,000 pixels .* it has 9000 x 9000"):
        read_image(tmp_path / "x.png", where="here")


def test_changed_picture_is_not_shown_under_its_old_hash(tmp_path):
    image = read_image(draw(tmp_path / "x.png", "red"), where="here")
    draw(tmp_path / "x.png", "blue")
    with pytest.raises(InputError, match="has changed since its task was read"):
        image_bytes(image)
    assert thumbnail_uri(image) is None


def test_thumbnail_is_small_and_data_uri_is_whole(tmp_path):
    image = read_image(draw(tmp_path / "x.png", "red", size=(800, 400)), where="here")
    assert thumbnail_uri(image).startswith("data:image/jpeg;base64,")
    assert len(thumbnail_uri(image, longest=64)) < 2500
    assert data_uri(image).startswith("data:image/png;base64,iVBOR")


def test_fake_model_reads_text_alone(pictures):
    from runners import parse_model, resolve

    runner = FakeResident().runner(resolve(parse_model("fake:x")))
    asked = [GenerateRequest(prompt="x", params=SamplingParams(), images=(pictures[0],))]
    with pytest.raises(InputError, match="reads text alone"):
        run_requests(runner, asked)


def test_report_shows_a_small_copy_or_says_why_not(tmp_path):
    from reports.images import picture

    image = read_image(draw(tmp_path / "x.png", "red", size=(800, 400)), where="here")
    assert picture(image).uri == thumbnail_uri(image, longest=320)
    draw(tmp_path / "x.png", "blue")
    assert (picture(image).uri, picture(image).name) == ("", "x.png")
    assert "changed" in picture(image).reason


TURNS = (
    Message(role="system", content="Look."),
    Message(role="user", content="What colour is it?"),
    Message(role="assistant", content="red"),
    Message(role="user", content="And this?"),
)


def test_pictures_stand_in_their_turns(llava, pictures, run_model, collect, plain_llava):
    request = LoglikelihoodRequest(
        context=TURNS, continuation=" blue", images=tuple(pictures[:2]), image_turns=(1, 3)
    )
    text = (
        "system: Look.\nuser: <image>What colour is it?\nassistant: red\n"
        "user: <image>And this?\nassistant:"
    )
    (found,) = collect(run_model(f"hf:{llava}").loglikelihood([request]))
    assert found.logprob == pytest.approx(plain_llava(text, " blue", pictures[:2])[0], abs=1e-4)
    together = replace(request, image_turns=())
    assert together.key != request.key
    (other,) = collect(run_model(f"hf:{llava}").loglikelihood([together]))
    assert abs(other.logprob - found.logprob) > 1e-3


@pytest.mark.parametrize("turns", [(1,), (3, 1), (1, 4), (-1, 1)])
def test_pictures_without_a_turn_are_refused(pictures, turns):
    request = LoglikelihoodRequest(
        context=TURNS, continuation=" blue", images=tuple(pictures[:2]), image_turns=turns
    )
    with pytest.raises(InputError, match="image_turns must be in"):
        images_by_message(request)


def with_fewshot(science: Path, **more: object) -> Path:
    definition = json.loads(science.read_text())
    definition["fewshot"] = {"n": 1, "examples": "s.jsonl"}
    science.write_text(json.dumps({**definition, **more}))
    return science


def test_worked_examples_show_their_own_pictures(science):
    task = load_task(str(with_fewshot(science, system="Look.")))
    first, second, without = task.examples
    asked = task.requests(first)[0]
    # One's own answer is never shown, though the question is the same.
    assert [image.sha256 for image in asked.images] == [
        second.images[0].sha256,
        first.images[0].sha256,
    ]
    assert asked.image_turns == (1, 3)
    assert [turn.role for turn in asked.context] == ["system", "user", "assistant", "user"]
    assert images_by_message(task.requests(without)[0])[3] == ()


def test_plain_few_shot_text_with_pictures_is_refused(science):
    with pytest.raises(TaskError, match="images with fewshot need chat: true"):
        load_task(str(with_fewshot(science, chat=False)))


def test_adapter_on_a_model_with_pictures(llava, pictures, run_model, collect, plain_llava):
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = llava.parent / "adapter"
    base = AutoModelForImageTextToText.from_pretrained(llava)
    wanted = LoraConfig(r=4, target_modules=r".*language_model.*\.(q|v)_proj")
    adapted = get_peft_model(base, wanted)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(folder)
    request = LoglikelihoodRequest(context=ASK, continuation=" red", images=(pictures[0],))
    (found,) = collect(run_model(f"hf:{llava}+lora:{folder}").loglikelihood([request]))
    model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(llava), folder)
    processor = AutoProcessor.from_pretrained(llava)
    picture = PIL.Image.open(pictures[0].path).convert("RGB")
    text = rendered(ASK[0].content) + " red"
    whole = processor(text=[text], images=[picture], add_special_tokens=False, return_tensors="pt")
    logprobs = model(**whole).logits[0].log_softmax(-1)
    ids = whole["input_ids"][0][-found.n_tokens :]
    wanted = logprobs[-found.n_tokens - 1 : -1].gather(1, ids[:, None]).sum().item()
    assert found.logprob == pytest.approx(wanted, abs=1e-4)
    (bare,) = collect(run_model(f"hf:{llava}").loglikelihood([request]))
    assert abs(bare.logprob - found.logprob) > 1e-2


def test_endpoint_gets_pictures_as_parts_of_their_turns(pictures, collect):
    from runners.endpoint.stub import StubScript, serving

    request = GenerateRequest(
        prompt=TURNS, params=SamplingParams(), images=tuple(pictures[:2]), image_turns=(1, 3)
    )
    with serving(StubScript()) as server, runners_of(f"openai:m@{server.url}") as runner:
        collect(run_requests(runner, [request]))
        messages = server.stats.last_body["messages"]
    assert messages[0] == {"role": "system", "content": "Look."}
    assert messages[1]["content"] == [
        {"type": "image_url", "image_url": {"url": data_uri(pictures[0])}},
        {"type": "text", "text": "What colour is it?"},
    ]
    assert messages[3]["content"][0]["image_url"]["url"] == data_uri(pictures[1])


def test_endpoint_refuses_pictures_with_plain_text_and_in_scores(pictures, collect):
    from runners.endpoint.stub import StubScript, serving

    plain_text = GenerateRequest(prompt="x", params=SamplingParams(), images=(pictures[0],))
    score = LoglikelihoodRequest(context=ASK, continuation=" red", images=(pictures[0],))
    with serving(StubScript()) as server, runners_of(f"openai:m@{server.url}") as runner:
        with pytest.raises(InputError, match="shown images in conversations alone"):
            collect(run_requests(runner, [plain_text]))
        with pytest.raises(ModelError, match="asked for prompts with images"):
            collect(run_requests(runner, [score]))
        assert server.stats.n_calls == 0


@contextmanager
def runners_of(text: str):
    from runners import open_runners, parse_model

    with closing(open_runners([parse_model(text)])) as opened:
        yield next(opened)


def test_judge_is_shown_the_pictures(science, tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "What?", "image": "images/a.png"}))
    (example,) = read_prompts(tmp_path / "p.jsonl")
    answers = tuple(Answer(fingerprint=model, texts=("red",)) for model in "ab")
    for name in bundled_protocols():
        protocol = load_protocol(name)
        what = Shown(
            example=example, turn=1, answers=answers[: 1 if protocol.kind == "single" else 2]
        )
        for scores_labels in (False, True):
            asked = requests(protocol.plain, what, scores_labels=scores_labels)
            assert {request.images for request in asked} == {example.images}


def test_arena_refuses_prompts_with_pictures(science, tmp_path):
    from arena.cli import _prompts

    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "What?", "image": "images/a.png"}))
    with pytest.raises(InputError, match=r"the arena shows no images, and the prompt 'What\?'"):
        _prompts([tmp_path / "p.jsonl"], False)
