import json
import math
from pathlib import Path

import pytest

from evalcore.errors import TaskError
from evalcore.protocols import Completion, Loglikelihood, Measurement, ScoredExample
from evalcore.records import Message
from evalcore.tasks import bundled_tasks, load_task
from evalcore.tasks.prompt_sets import read_prompts


def write_task(folder: Path, lines: list[object], **keys: object) -> str:
    settings = {"name": "t", "kind": "generate", "metrics": ["exact_match"]} | keys
    if settings["kind"] != "generate" and "metrics" not in keys:
        settings.pop("metrics")
    write_lines(folder / "t.jsonl", lines)
    path = folder / "t.yaml"
    path.write_text(json.dumps(settings | {"examples": "t.jsonl"}))  # JSON is YAML
    return str(path)


def write_lines(path: Path, lines: list[object]) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")


QUESTION = {"prompt": "1+1=", "reference": "2"}
CHOICE = {"prompt": "Sky?", "choices": ["red", "blue"], "answer": 1}


def completion(text: str) -> Completion:
    return Completion(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, duration_s=0.0
    )


def loglikelihood(logprob: float, n_tokens: int = 1) -> Loglikelihood:
    return Loglikelihood(logprob=logprob, is_greedy=False, n_tokens=n_tokens)


def test_generate_task_asks_and_measures(tmp_path: Path):
    task = load_task(write_task(tmp_path, [QUESTION], generation={"stop": ["\n"]}))
    (example,) = task.examples
    (request,) = task.requests(example)
    assert (request.prompt, request.params.stop) == ("1+1=", ("\n",))
    assert task.score(example, [completion(" 2")]) == {"exact_match": Measurement(1.0)}


def test_choice_task_takes_likeliest_and_likeliest_per_byte(tmp_path: Path):
    line = {"prompt": "?", "choices": ["no", "certainly"], "answer": "certainly"}
    task = load_task(write_task(tmp_path, [line], kind="multiple_choice"))
    (example,) = task.examples
    assert [r.continuation for r in task.requests(example)] == [" no", " certainly"]
    measured = task.score(example, [loglikelihood(-2.0), loglikelihood(-4.0)])
    assert measured == {"accuracy": Measurement(0.0), "accuracy_norm": Measurement(1.0)}


def test_choice_task_with_a_nan_is_unscored(tmp_path: Path):
    task = load_task(write_task(tmp_path, [CHOICE], kind="multiple_choice"))
    measured = task.score(task.examples[0], [loglikelihood(math.nan), loglikelihood(-1)])
    assert math.isnan(measured["accuracy"].value)


def test_perplexity_of_texts_is_the_ratio_of_sums(tmp_path: Path):
    task = load_task(write_task(tmp_path, [{"text": "ab"}, {"text": "abcd"}], kind="perplexity"))
    found = [loglikelihood(-2.0, 2), loglikelihood(-10.0, 3)]
    items = [
        ScoredExample(example=e, responses=[r], measurements=task.score(e, [r]))
        for e, r in zip(task.examples, found, strict=True)
    ]
    assert task.estimate("byte_perplexity", items).value == pytest.approx(math.exp(12 / 6))
    assert task.estimate("token_perplexity", items).value == pytest.approx(math.exp(12 / 5))
    assert task.estimate("bits_per_byte", items).value == pytest.approx(2 / math.log(2))


def test_templates_make_prompt_and_reference(tmp_path: Path):
    line = {"question": "Who?", "gold": {"text": "Me"}}
    path = write_task(tmp_path, [line], template="Q: {{ question }}\nA:", target="{{ gold.text }}")
    (example,) = load_task(path).examples
    assert example.messages == (Message(role="user", content="Q: Who?\nA:"),)
    assert example.references == ("Me",)


def test_fixed_fewshot_comes_first_and_leaves_out_the_question_itself(tmp_path: Path):
    shots = [QUESTION, {"prompt": "2+2=", "reference": "4"}, {"prompt": "3+3=", "reference": "6"}]
    write_lines(tmp_path / "pool.jsonl", shots)
    path = write_task(tmp_path, [QUESTION], fewshot={"n": 2, "examples": "pool.jsonl"})
    task = load_task(path)
    assert task.requests(task.examples[0])[0].prompt == "2+2= 4\n\n3+3= 6\n\n1+1="


def test_seeded_fewshot_depends_on_the_example_alone(tmp_path: Path):
    shots = [{"prompt": f"{i}+0=", "reference": str(i)} for i in range(20)]
    write_lines(tmp_path / "pool.jsonl", shots)
    fewshot = {"n": 3, "examples": "pool.jsonl", "draw": "seeded", "seed": 1}
    other = {"prompt": "9+9=", "reference": "18"}
    one = load_task(write_task(tmp_path, [QUESTION], fewshot=fewshot))
    alone = one.requests(one.examples[0])
    two = load_task(write_task(tmp_path, [other, QUESTION], fewshot=fewshot))
    assert two.requests(two.examples[1]) == alone
    assert two.requests(two.examples[0])[0].prompt.split("9+9=")[0] != alone[0].prompt


def test_chat_task_puts_worked_examples_into_turns(tmp_path: Path):
    write_lines(tmp_path / "pool.jsonl", [{"prompt": "a", "reference": "b"}, QUESTION])
    path = write_task(
        tmp_path,
        [QUESTION],
        chat=True,
        system="Be brief.",
        fewshot={"n": 1, "examples": "pool.jsonl"},
    )
    task = load_task(path)
    prompt = task.requests(task.examples[0])[0].prompt
    assert [m.role for m in prompt] == ["system", "user", "assistant", "user"]


def test_hash_follows_settings_examples_and_limit(tmp_path: Path):
    lines = [QUESTION, {"prompt": "2+2=", "reference": "4"}]
    first = load_task(write_task(tmp_path, lines))
    assert load_task(write_task(tmp_path, lines, description="said anew")).hash == first.hash
    assert load_task(write_task(tmp_path, lines), limit=1).hash != first.hash
    assert load_task(write_task(tmp_path, lines, system="x")).hash != first.hash


def test_own_ids_make_equal_examples_count_twice(tmp_path: Path):
    task = load_task(write_task(tmp_path, [QUESTION | {"id": 1}, QUESTION | {"id": 2}]))
    assert len({example.id for example in task.examples}) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no examples"),
        ([QUESTION, "{broken"], "line 2: not JSON"),
        ([QUESTION, QUESTION], "line 2: same example as line 1"),
        (
            [QUESTION | {"id": 7}, {"prompt": "x", "id": 7}],
            "line 2: duplicate id 7, first on line 1",
        ),
        ([{"prompt": "  "}], "line 1: the prompt must be text that is not empty"),
        ([{"question": "?"}], "line 1: needs one of the fields prompt, text, messages"),
        (["[1]"], "line 1: must be a JSON object; got list"),
        ([{"messages": [{"role": "bot", "content": "x"}]}], "role must be one of system, user"),
        ([{"prompt": "x", "references": "y"}], "references must be a list"),
        (
            [{"prompt": "x"}],
            "exact_match needs a reference for every example; example 'x' has none",
        ),
    ],
)
def test_broken_examples_are_told_by_file_and_line(tmp_path: Path, lines, message):
    with pytest.raises(TaskError, match=rf"t\.(jsonl|yaml).*{message}"):
        load_task(write_task(tmp_path, lines))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (CHOICE | {"answer": 2}, "answer must be a choice or its index from 0 to 1; got 2"),
        (CHOICE | {"choices": ["a", "a"]}, "two choices are the same"),
        (CHOICE | {"choices": ["a"], "answer": 0}, "at least two choices"),
        ({"prompt": "x", "choices": ["a", "b"]}, "needs an answer"),
    ],
)
def test_broken_choices_are_told_by_line(tmp_path: Path, line, message):
    with pytest.raises(TaskError, match=f"line 1: .*{message}"):
        load_task(write_task(tmp_path, [line], kind="multiple_choice"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"metric": "x"}, "unknown key 'metric'; permitted: name, kind"),
        ({"fewshot": {"count": 3}}, "unknown key 'fewshot.count'; permitted: n, examples"),
        ({"kind": "choice"}, "key 'kind': Input should be 'multiple_choice'"),
        ({"generation": {"temperature": -1}}, "key 'generation.temperature'"),
        ({"metrics": []}, "a generate task needs metrics"),
        ({"metrics": ["acc"]}, "metric must be one of"),
        ({"fewshot": {"n": 2}}, "fewshot.examples is needed"),
        ({"template": "{{ x"}, "broken template"),
        ({"template": "{{ missing }}"}, "line 1: template: 'missing' is undefined"),
        ({"kind": "perplexity", "metrics": ["acc"]}, "must be one of bits_per_byte"),
        ({"name": "a b"}, "key 'name'"),
    ],
)
def test_broken_definition_names_key_and_what_is_permitted(tmp_path: Path, keys, message):
    with pytest.raises(TaskError, match=message):
        load_task(write_task(tmp_path, [QUESTION], **keys))


def test_text_that_is_not_utf8_is_told_by_line(tmp_path: Path):
    path = write_task(tmp_path, [QUESTION])
    (tmp_path / "t.jsonl").write_bytes(b'{"prompt": "a", "reference": "b"}\n{"prompt": "\xff"}\n')
    with pytest.raises(TaskError, match="line 2: not UTF-8"):
        load_task(path)


def test_unknown_task_lists_the_bundled_ones():
    with pytest.raises(TaskError, match="must be a YAML file, lm_eval:NAME or one of"):
        load_task("no-such-task")


@pytest.mark.parametrize("name", sorted(bundled_tasks()))
def test_bundled_task_loads_and_makes_requests(name):
    task = load_task(name)
    assert task.name == name
    assert task.requests(task.examples[0])


def test_prompts_are_read_from_text_lines_and_from_objects(tmp_path: Path):
    (tmp_path / "p.txt").write_text("first\n\nsecond\n")
    write_lines(
        tmp_path / "p.jsonl",
        ['"just text"', {"question_id": 81, "turns": ["one turn"]}, {"instruction": "do"}],
    )
    contents = [e.messages[0].content for e in read_prompts(tmp_path / "p.txt")]
    assert contents == ["first", "second"]
    contents = [e.messages[0].content for e in read_prompts(tmp_path / "p.jsonl")]
    assert contents == ["just text", "one turn", "do"]


def test_prompt_with_several_turns_keeps_them_in_order(tmp_path: Path):
    write_lines(tmp_path / "p.jsonl", [{"turns": ["a", "b", "c"]}])
    (example,) = read_prompts(tmp_path / "p.jsonl")
    assert [message.content for message in example.messages] == ["a"]
    assert example.follow_ups == ("b", "c")


@pytest.mark.parametrize("turns", [[], "a", None, [1]])
def test_prompt_with_broken_turns_is_told_by_line(tmp_path: Path, turns):
    write_lines(tmp_path / "p.jsonl", [{"turns": turns}])
    with pytest.raises(TaskError, match="line 1"):
        read_prompts(tmp_path / "p.jsonl")


@pytest.mark.parametrize(
    ("file", "n"),
    [
        ("koala/koala_test_set.jsonl", 180),
        ("oasst/en_100_text.jsonl", 100),
        ("vicuna/question.jsonl", 80),
        ("arena_hard/v0.1_question.jsonl", 500),
    ],
)
def test_published_prompt_sets_can_be_read(shared_data: Path, file: str, n: int):
    assert len(read_prompts(shared_data / file)) == n
