import importlib.util
import json
import random
import shutil
import subprocess
import sys

import pytest
import yaml

from evalcore.errors import InputError, TaskError
from evalcore.protocols import Completion, GenerateRequest, Loglikelihood, ScoredExample
from evalcore.records import ModelSpec
from evalcore.tasks import load_task, load_tasks
from evalcore.tasks.harness import sampling_params
from evalcore.tasks.harness_settings import HarnessSettings, prompt_of, split_settings, stand_in

pytestmark = [
    # What datasets and the metrics' libraries say of themselves is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:A single label was found"),
]

WORDS = [
    *("red", "green", "blue", "quick", "brown", "fox", "lazy", "dog", "seven", "wizards"),
    *("answer", "colours", "name", "three"),
]
KINDS = {
    "choice": {
        "output_type": "multiple_choice",
        "doc_to_text": "Q: {{question}}\nA:",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metrics": ["acc", "acc_norm", ("mcc", "matthews_corrcoef"), "brier_score"],
    },
    "answers": {
        "output_type": "generate_until",
        "doc_to_text": "Q: {{question}}\nA:",
        "doc_to_target": " {{target}}",
        "generation_kwargs": {"until": ["\n", "e"], "max_gen_toks": 8, "do_sample": False},
        "filter_list": [
            {
                "name": "first-letter",
                "filter": [
                    {"function": "regex", "regex_pattern": "(.)"},
                    {"function": "take_first"},
                ],
            },
            {"name": "none", "filter": [{"function": "take_first"}]},
        ],
        "metrics": ["exact_match", ("chrf", "chrf")],
    },
    "texts": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "num_fewshot": 0,
        "metrics": [
            ("word_perplexity", "weighted_perplexity"),
            ("byte_perplexity", "weighted_perplexity"),
            ("bits_per_byte", "bits_per_byte"),
        ],
    },
    "last_word": {
        "output_type": "loglikelihood",
        "doc_to_text": "{{text}}",
        "doc_to_target": " {{target}}",
        "num_fewshot": 0,
        "metrics": [("perplexity", "perplexity"), "acc"],
    },
    "joined": {  # tokens hold the end of the context and the beginning of the continuation
        "output_type": "loglikelihood",
        "doc_to_text": "{{text}}{{target[:2]}}",
        "doc_to_target": "{{target[2:]}} {{question}}",
        "num_fewshot": 0,
        "metrics": ["acc"],
    },
}


@pytest.fixture(scope="module", autouse=True)
def _harness():
    if importlib.util.find_spec("lm_eval") is None:
        pytest.fail("lm_eval is not installed: pip install 'parity-eval[lm-eval]'")


@pytest.fixture(scope="module")
def harness_files(tmp_path_factory):
    """Write a task of each kind, in the harness's own form."""
    folder = tmp_path_factory.mktemp("harness")
    draw = random.Random(0)

    def some(low, high):
        return " ".join(draw.choices(WORDS, k=draw.randint(low, high)))

    for split, n in (("train", 8), ("test", 9)):
        documents = [
            {
                "question": some(1, 5),
                "choices": [some(1, 3) for _ in range(4)],
                "answer": draw.randrange(4),
                "text": some(5, 60),
                "target": some(1, 1),
            }
            for _ in range(n)
        ]
        text = "".join(json.dumps(document) + "\n" for document in documents)
        (folder / f"{split}.jsonl").write_text(text)
    for name, kind in KINDS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(definition(folder, name, kind)))
    return folder


def definition(folder, name, kind):
    metrics = [
        m if isinstance(m, tuple) else (m, METRIC_OWN.get(m, "mean")) for m in kind["metrics"]
    ]
    lower = ("perplexity", "brier_score", "bits_per_byte")
    return {
        "task": f"local_{name}",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {s: str(folder / f"{s}.jsonl") for s in ("train", "test")},
            "cache_dir": str(folder / "cache"),
        },
        "training_split": "train",
        "test_split": "test",
        "num_fewshot": 1,
        **{key: value for key, value in kind.items() if key != "metrics"},
        "metric_list": [
            {"metric": m, "aggregation": a, "higher_is_better": not m.endswith(lower)}
            for m, a in metrics
        ],
    }


METRIC_OWN = {"brier_score": "brier_score"}


@pytest.fixture
def load(harness_files):
    return lambda name, **options: load_task(f"lm_eval:{harness_files / name}.yaml", **options)


@pytest.fixture(scope="module")
def by_harness(harness_files, tiny_models):
    """Give a function that lets the harness evaluate a model on all tasks, with its own means."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    import runners.lm_eval_model  # noqa: F401

    results = {}

    def evaluate(model):
        if model not in results:
            results[model] = simple_evaluate(
                model=model,
                model_args={"pretrained": str(tiny_models["llama"].folder), "dtype": "float32"},
                tasks=[str(harness_files / f"{name}.yaml") for name in KINDS],
                task_manager=TaskManager(include_defaults=False),
                device="cpu",
                batch_size=2,
                bootstrap_iters=0,
            )
        return results[model]

    return evaluate


def answer(task, runner, collect):
    requests = [request for example in task.examples for request in task.requests(example)]
    ask = {
        "multiple_choice": runner.loglikelihood,
        "loglikelihood": runner.loglikelihood,
        "perplexity": runner.loglikelihood_rolling,
        "generate": runner.generate,
    }[task.kind]
    left = iter(collect(ask(requests)))
    items = []
    for example in task.examples:
        responses = [next(left) for _ in task.requests(example)]
        scores = task.score(example, responses)
        items.append(ScoredExample(example=example, responses=responses, measurements=scores))
    return items


@pytest.mark.parametrize("name", KINDS)
def test_parity_model_answers_each_request_as_the_harness_s_own(by_harness, name):
    theirs, ours = (by_harness(model)["samples"][f"local_{name}"] for model in ("hf", "parity"))
    assert [s["arguments"] for s in ours] == [s["arguments"] for s in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        for [a], [b] in zip(mine["resps"], other["resps"], strict=True):
            if isinstance(a, str):
                assert a == b
            elif isinstance(a, tuple):
                assert a == (pytest.approx(b[0], abs=1e-4), b[1])
            else:
                assert a == pytest.approx(b, abs=1e-4, rel=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_estimates_equal_the_harness_s_own(by_harness, load, llama, run_model, collect, name):
    task = load(name)
    items = answer(task, run_model(f"hf:{llama.folder}?dtype=fp32"), collect)
    theirs = by_harness("hf")["results"][f"local_{name}"]
    for metric in task.higher_is_better:
        found = task.estimate(metric, items)
        wanted = theirs[metric if "," in metric else f"{metric},none"]
        assert found.value == pytest.approx(wanted, rel=1e-4)
        assert found.low <= found.value <= found.high
        assert found.n == 9


@pytest.mark.parametrize("name", KINDS)
def test_prompts_equal_the_harness_s_own(by_harness, load, name):
    samples = by_harness("hf")["samples"][f"local_{name}"]
    wanted = {s["doc_id"]: s["arguments"][0][0] for s in samples}
    found = {e.metadata["doc_id"]: e.messages[0].content for e in load(name).examples}
    assert found == wanted


def test_results_are_stored_like_any_other(load, llama, tmp_path):
    from evalcore.evaluate import evaluate
    from evalcore.executors import LocalExecutor
    from evalcore.store import open_store
    from runners import open_runners, parse_model, resolve

    specs = [resolve(parse_model(f"hf:{llama.folder}"))]
    tasks = [load("choice"), load("answers")]
    with open_store(tmp_path, None) as store:
        runs = evaluate(
            specs,
            tasks,
            store,
            executor=LocalExecutor(open_runners),
            begin=lambda _label, _n: lambda _done, _cost: None,
        )
        assert {run.run_id for run in store.runs()} == {run.run_id for run in runs}
    assert [run.task for run in runs] == ["lm_eval:local_choice", "lm_eval:local_answers"]
    assert set(runs[1].estimates) >= {"exact_match", "exact_match,first-letter", "chrf"}
    assert runs[0].params["fewshot_seed"] == 1234


@pytest.mark.parametrize("template", ["alpaca", None])
def test_template_that_is_not_used_is_told(load, tmp_path, template):
    from evalcore.evaluate import evaluate
    from evalcore.executors import LocalExecutor
    from evalcore.store import open_store
    from runners.fake import FakeRunner

    spec = ModelSpec(name="fake", backend="fake", weights="fake", chat_template=template)
    with open_store(tmp_path, None) as store:
        (run,) = evaluate(
            [spec],
            [load("choice", limit=2)],
            store,
            executor=LocalExecutor(lambda specs: (FakeRunner(s) for s in specs)),
            begin=lambda _label, _n: lambda _done, _cost: None,
        )
    told = [warning for warning in run.warnings if "without the chat template alpaca" in warning]
    assert len(told) == (template is not None)


def test_hash_is_stable_and_knows_the_limit(load):
    assert load("choice").hash == load("choice").hash
    assert load("choice", limit=3).hash != load("choice").hash
    assert [e.id for e in load("choice", limit=3).examples] == [
        e.id for e in load("choice").examples[:3]
    ]


def test_global_random_state_is_left_alone(load):
    random.seed(5)
    before = random.getstate()
    load("choice")
    assert random.getstate() == before


def test_same_document_twice_counts_twice(load, harness_files, tmp_path):
    content = yaml.safe_load((harness_files / "last_word.yaml").read_text())
    line = json.dumps({"text": "red", "target": "fox"}) + "\n"
    (tmp_path / "twice.jsonl").write_text(line * 2)
    content["dataset_kwargs"]["data_files"] = {
        s: str(tmp_path / "twice.jsonl") for s in ("train", "test")
    }
    (tmp_path / "twice.yaml").write_text(yaml.safe_dump(content))
    assert len({e.id for e in load_task(f"lm_eval:{tmp_path / 'twice.yaml'}").examples}) == 2


def test_failed_response_is_unscored_and_counted(load):
    task = load("choice")
    (first, *_) = task.examples
    failed = [
        Loglikelihood(logprob=float("nan"), is_greedy=False, n_tokens=1) for _ in first.choices
    ]
    scores = task.score(first, failed)
    item = ScoredExample(example=first, responses=failed, measurements=scores)
    assert [task.estimate(m, [item]).n_unscored for m in ("acc", "mcc")] == [1, 1]


def test_failed_answer_is_unscored(load):
    task = load("answers")
    failed = Completion(
        text="", finish_reason="error", prompt_tokens=1, completion_tokens=0, duration_s=0.0
    )
    scores = task.score(task.examples[0], [failed])
    assert all(score.value != score.value for score in scores.values())


def test_generation_settings_become_sampling_params(load):
    request = load("answers").requests(load("answers").examples[0])[0]
    assert isinstance(request, GenerateRequest)
    assert (request.params.max_new_tokens, request.params.temperature) == (8, 0.0)
    assert request.params.stop == ("\n", "e")


@pytest.mark.parametrize(
    ("settings", "temperature"),
    [
        ({}, 0.0),
        ({"temperature": 0.7}, 0.7),
        ({"temperature": 0.7, "do_sample": False}, 0.0),
        ({"do_sample": True}, 1.0),
        ({"num_beams": 1, "until": "x"}, 0.0),
    ],
)
def test_sampling_follows_the_harness_s_rules(settings, temperature):
    assert sampling_params(settings).temperature == temperature


def test_setting_that_would_change_answers_is_refused():
    with pytest.raises(TaskError, match=r"num_beams=4"):
        sampling_params({"num_beams": 4})


def test_group_is_all_its_tasks(load, harness_files):
    path = harness_files / "group.yaml"
    path.write_text("group: both\ntask:\n  - local_choice\n  - local_last_word\n")
    tasks = load_tasks([f"lm_eval:{path}"], limit=2)
    assert [task.hash for task in tasks] == [load(n, limit=2).hash for n in ("choice", "last_word")]
    with pytest.raises(TaskError, match="is a group; name one of its tasks: lm_eval:local_choice"):
        load_task(f"lm_eval:{path}")


def test_missing_file_is_named():
    with pytest.raises(TaskError, match=r"nowhere\.yaml: no such file"):
        load_task("lm_eval:nowhere.yaml")


def test_broken_definition_is_one_line(tmp_path):
    (tmp_path / "bad.yaml").write_text("task: bad\ndataset_path: json\noutput_type: nonsense\n")
    with pytest.raises(TaskError, match=r"lm_eval:.*bad\.yaml") as caught:
        load_task(f"lm_eval:{tmp_path / 'bad.yaml'}")
    assert "\n" not in str(caught.value)


def test_without_the_harness_the_extra_is_named(monkeypatch, tmp_path):
    for module in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(TaskError, match=r"pip install 'parity-eval\[lm-eval\]'"):
        load_task(f"lm_eval:{tmp_path}/any.yaml")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("dir", None, None, None), "hf:dir"),
        (("dir", "bfloat16", "adapter", "cuda:0"), "hf:dir?dtype=bf16&device=cuda:0+lora:adapter"),
        (("zoo:tiny+lora:x*0.5", None, None, "cpu"), "zoo:tiny+lora:x*0.5"),
    ],
)
def test_arguments_become_a_model_string(given, wanted):
    from runners.lm_eval_model import model_string

    pretrained, dtype, peft, device = given
    assert model_string(pretrained, dtype=dtype, peft=peft, device=device) == wanted


def test_unknown_dtype_is_refused():
    from runners.lm_eval_model import model_string

    with pytest.raises(InputError, match="dtype must be one of"):
        model_string("dir", dtype="int3", peft=None, device=None)


TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}[{{ turn.role }}] {{ turn.content }}"
    "{% if not loop.last or add_generation_prompt %}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture
def chat_samples(harness_files, llama, tmp_path):
    """Give a function that lets the harness ask a model in turns, and what it was asked with."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    import runners.lm_eval_model  # noqa: F401

    folder = shutil.copytree(llama.folder, tmp_path / "chat")
    (folder / "chat_template.jinja").write_text(TEMPLATE)

    def ask(model, path, **settings):
        (samples,) = simple_evaluate(
            model=model,
            model_args={"pretrained": str(folder), "dtype": "float32"},
            tasks=[str(path)],
            task_manager=TaskManager(include_defaults=False),
            device="cpu",
            batch_size=1,
            limit=3,
            bootstrap_iters=0,
            apply_chat_template=True,
            **settings,
        )["samples"].values()
        return samples

    return folder, ask


@pytest.mark.parametrize("name", ["choice", "answers"])
def test_chat_template_is_applied_as_the_harness_does(harness_files, chat_samples, name):
    path = harness_files / f"{name}.yaml"
    samples = [
        chat_samples[1](model, path, system_instruction="Be brief.") for model in ("hf", "parity")
    ]
    assert [s["arguments"] for s in samples[0]] == [s["arguments"] for s in samples[1]]
    for theirs, ours in zip(*(flat(some) for some in samples), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4) if name == "choice" else ours == theirs


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("choice", {}),
        ("answers", {"system_instruction": "Be brief & kind.", "num_fewshot": 2}),
        ("answers", {"fewshot_as_multiturn": False}),
        ("opened", {"system_instruction": "Say it."}),
        ("last_word", {"system_instruction": "Say it."}),
    ],
)
def test_tasks_ask_in_turns_as_the_harness_does(
    harness_files, chat_samples, run_model, collect, name, settings
):
    folder, ask = chat_samples
    path = harness_files / f"{name}.yaml"
    if name == "opened":
        own = KINDS["choice"] | {"gen_prefix": "It is"}
        path.write_text(yaml.safe_dump(definition(harness_files, name, own)))
    if name == "last_word":
        without_mark = TEMPLATE.removeprefix("{{ bos_token }}")
        (folder / "chat_template.jinja").write_text(REFUSING + without_mark)
    said = HarnessSettings(apply_chat_template=True, **settings).words
    task = load_task(f"lm_eval:{path}{said}", limit=3)
    assert task.name == f"lm_eval:local_{name}{said}"
    items = answer(task, run_model(f"hf:{folder}?dtype=fp32"), collect)
    theirs = {sample["doc_id"]: sample for sample in ask("hf", path, **settings)}
    for item in items:
        wanted = flat([theirs[item.example.metadata["doc_id"]]])
        if task.kind == "generate":
            assert [response.text for response in item.responses] == wanted
        else:
            logprobs = [response.logprob for response in item.responses]
            assert logprobs == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x?chat", "must be one of apply_chat_template, .*; got 'chat'"),
        ("x?num_fewshot=2&num_fewshot=3", "num_fewshot is said twice"),
        ("x?num_fewshot=-1", "num_fewshot must be 0 or more; got '-1'"),
        ("x?apply_chat_template=yes", "must be true or false; got 'yes'"),
        ("x?fewshot_as_multiturn", "needs apply_chat_template"),
    ],
)
def test_settings_that_cannot_be_are_refused(text, told):
    with pytest.raises(TaskError, match=told):
        split_settings(text)


def test_settings_survive_the_name():
    settings = HarnessSettings(system_instruction="50% & more\nnow", num_fewshot=0)
    assert split_settings(f"x{settings.words}") == ("x", settings)
    assert HarnessSettings().words == ""
    chat = HarnessSettings(apply_chat_template=True, fewshot_as_multiturn=False)
    assert chat.words == "?apply_chat_template&fewshot_as_multiturn=false"


def test_text_around_turns_is_refused():
    text = stand_in([{"role": "user", "content": "a"}])
    assert len(prompt_of(text)) == 1
    for spoiled in (f"Q: {text}", f"{text} A:"):
        with pytest.raises(TaskError, match="writes text around"):
            prompt_of(spoiled)


REFUSING = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"


def flat(samples):
    """Return each answer of each sample: log-probabilities, or texts."""
    answers = [answer for sample in samples for (answer,) in sample["resps"]]
    return [float(a[0]) if isinstance(a, tuple) else a for a in answers]


@pytest.mark.slow
def test_command_line_of_the_harness_knows_the_model(harness_files, llama, tmp_path):
    words = ["--model", "parity", "--model_args", f"pretrained={llama.folder},dtype=float32"]
    # A task whose metrics the harness doesn't resample 100,000 times for a standard error.
    words += ["--tasks", str(harness_files / "texts.yaml"), "--output_path", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "runners.lm_eval_command", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.rglob("results_*.json")
    assert json.loads(written.read_text())["config"]["model"] == "parity"
