import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy.engine import Engine

from evalcore.__main__ import main
from evalcore.hashing import content_hash
from evalcore.protocols import Completion, Finished, Runner
from evalcore.records import Efficiency, EvalRun, Example, Message, ModelSpec, Score
from evalcore.stats.intervals import mean_estimate, proportion_estimate
from evalcore.store import Store
from evalcore.store.store import Answered

# A busy machine is no failure, and a run must be repeatable.
settings.register_profile("parity", deadline=None, derandomize=True)
settings.load_profile("parity")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of published studies with known answers; it lies beside a checkout, not in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        reason = f"published studies are not at {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session", autouse=True)
def migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Begin each new workspace as a copy of one that was migrated; making tables takes 60 ms."""
    from evalcore.store import open_store, opening

    folder = tmp_path_factory.mktemp("migrated")
    open_store(folder).close()
    migrate = opening._migrate

    def copied(engine: Engine, where: str) -> None:
        path = Path(engine.url.database or "/")
        if engine.dialect.name == "sqlite" and not path.exists():
            with suppress(OSError), tempfile.NamedTemporaryFile(dir=path.parent) as whole:
                shutil.copyfile(folder / opening.DATABASE_NAME, whole.name)
                os.link(whole.name, path)  # at once, and only if nobody else was faster
        migrate(engine, where)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(opening, "_migrate", copied)
        yield


@pytest.fixture
def parity(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["parity", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an MLflow database with its tables, which take seconds to make."""
    from leaderboards.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@dataclass(frozen=True)
class _Task:
    name: str
    hash: str
    examples: list[Example]
    settings: dict[str, object]


@pytest.fixture(scope="session")
def add_results():
    """Give a function that puts a model's results on a task into a workspace, as a run would."""
    return _add_results


def _add_results(
    store: Store,
    spec: ModelSpec,
    task: str,
    values: Sequence[float],
    *,
    metric: str = "exact_match",
    higher_is_better: bool = True,
    version: int = 1,
    answers: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    created_utc: str = "2026-01-01T00:00:00Z",
    efficiency: Efficiency = Efficiency(decode_tokens=900, decode_s=3.0),  # noqa: B008
) -> EvalRun:
    examples = [
        Example(
            id=content_hash([task, version, place]),
            messages=(Message(role="user", content=f"{task} question {place}?"),),
            references=(f"answer {place}",),
            category="even" if place % 2 == 0 else "odd",
            group=groups[place] if groups else None,
        )
        for place in range(len(values))
    ]
    task_hash = content_hash([task, version, len(values)])
    texts = answers or [
        e.references[0] if v else "no idea" for e, v in zip(examples, values, strict=True)
    ]
    answered = [
        Answered(
            example_id=example.id,
            request_key=content_hash(["generate", example.id]),
            response=Completion(
                text=text,
                finish_reason="stop",
                prompt_tokens=9,
                completion_tokens=3,
                duration_s=0.01,
            ),
        )
        for example, text in zip(examples, texts, strict=True)
    ]
    shared = {"fingerprint": spec.fingerprint, "task_hash": task_hash, "metric": metric}
    binary = set(values) <= {0.0, 1.0}
    run = EvalRun(
        run_id=content_hash([spec.fingerprint, task_hash]),
        spec=spec,
        task=task,
        task_hash=task_hash,
        primary_metric=metric,
        higher_is_better={metric: higher_is_better},
        params={"n_shot": 0},
        estimates={metric: (proportion_estimate if binary else mean_estimate)(values)},
        efficiency=efficiency,
        n_examples=len(values),
        created_utc=created_utc,
        code_version="0.1.0",
        environment={"python": "3.11"},
    )
    store.add_model(spec)
    store.add_task(_Task(task, task_hash, examples, {"n_shot": 0}))
    store.add_responses(spec.fingerprint, answered, task_hash=task_hash, took=efficiency)
    store.add_scores(
        Score(example_id=example.id, value=value, **shared)
        for example, value in zip(examples, values, strict=True)
    )
    store.save_run(run)
    return run


# Tiny models with random weights, as users have them: folders with a tokenizer each. Torch is
# imported in the fixtures, so that other tests don't wait for it.

WINDOW = 96
CORPUS = [
    "The quick brown fox jumps over the lazy dog while seven wizards watch it quietly.",
    "What is 12 + 30? The answer is 42. Name three colours: red, green and blue.",
    "USER: Hello there! ASSISTANT: Good morning, how can I help you?\nQuestion: why\n\nAnswer:",
    "Ünïcödé text, tabs\tand\n\nparagraphs. 日本語 too.",
]
ARCHITECTURES = ("llama", "neox", "gpt2")


@dataclass(frozen=True)
class TinyModel:
    """A model folder and adapters for it."""

    folder: Path
    adapters: dict[str, Path]
    """Rank 4 with scaling 2 as "first"; rank 2, rank-stabilised, on other modules as "second"."""


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinyModel]:
    """LLaMA, GPT-NeoX (as Pythia) and GPT-2 (as Cerebras-GPT) with two LoRA adapters each."""
    root = tmp_path_factory.mktemp("models")
    return {name: make_tiny_model(root / name, architecture=name) for name in ARCHITECTURES}


@pytest.fixture(scope="session")
def wide_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with layers wide enough for packed 4-bit weights, which real ones always are."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("wide") / "wide"
    make_tokenizer(folder, marks_beginning=True)
    config = tiny_config("llama")
    config.hidden_size, config.intermediate_size, config.head_dim = 128, 128, 32
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(params=ARCHITECTURES)
def tiny_model(request: pytest.FixtureRequest, tiny_models: dict[str, TinyModel]) -> TinyModel:
    """Each architecture in turn."""
    return tiny_models[request.param]


@pytest.fixture(scope="session")
def new_adapter() -> Callable[..., Path]:
    """Write a LoRA adapter beside a base: its folder, modules, rank and scaling."""
    return make_adapter


@pytest.fixture(scope="session")
def llama(tiny_models: dict[str, TinyModel]) -> TinyModel:
    return tiny_models["llama"]


def make_tiny_model(folder: Path, *, architecture: str) -> TinyModel:
    import torch
    from transformers import AutoModelForCausalLM

    make_tokenizer(folder, marks_beginning=architecture == "llama")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(tiny_config(architecture))
    model.save_pretrained(folder)
    modules = {
        "llama": (["q_proj", "v_proj"], ["v_proj", "o_proj", "down_proj"]),
        "neox": (["query_key_value"], ["query_key_value", "dense_4h_to_h"]),
        "gpt2": (["c_attn"], ["c_attn", "c_fc"]),
    }[architecture]
    first = make_adapter(folder, modules=modules[0], r=4, lora_alpha=8)
    second = make_adapter(folder, modules=modules[1], r=2, lora_alpha=3, use_rslora=True)
    return TinyModel(folder, {"first": first, "second": second})


def make_tokenizer(folder: Path, *, marks_beginning: bool) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if marks_beginning:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    marks = {"bos_token": "<s>"} if marks_beginning else {}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", **marks).save_pretrained(
        folder
    )


def tiny_config(architecture: str):
    from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig

    # A wide initialisation makes answers differ clearly, as those of a trained model do.
    shape = {"vocab_size": 384, "initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 1}
    if architecture == "gpt2":
        return GPT2Config(n_positions=WINDOW, n_embd=32, n_layer=2, n_head=4, **shape)
    shape |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"intermediate_size": 64, "max_position_embeddings": WINDOW}
    if architecture == "neox":
        return GPTNeoXConfig(tie_word_embeddings=False, **shape)
    return LlamaConfig(num_key_value_heads=2, tie_word_embeddings=False, **shape)


def make_adapter(base: Path, *, modules: Sequence[str], name: str = "", **config: object) -> Path:
    """Write a LoRA adapter with random, non-zero A and B beside its base's folder."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = base.parent / f"{base.name}-{name or '-'.join([*modules, str(config['r'])])}"
    model = AutoModelForCausalLM.from_pretrained(base)
    is_gpt2 = model.config.model_type == "gpt2"
    wanted = LoraConfig(
        target_modules=list(modules), fan_in_fan_out=is_gpt2, task_type="CAUSAL_LM", **config
    )
    torch.manual_seed(len(folder.name))
    with warnings.catch_warnings():
        # peft 0.21 still asks for what transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        adapted = get_peft_model(model, wanted)
    for parameter_name, parameter in adapted.named_parameters():
        if "lora_" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.2)
    changes_tokens = bool({"embed_tokens", "lm_head"} & set(modules))
    adapted.save_pretrained(folder, save_embedding_layers=changes_tokens)
    return folder


@pytest.fixture(scope="session")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Convert a model, named by its string, to a GGUF file of a type; each once."""
    from runners import parse_model
    from runners.gguf.convert import convert

    folder = tmp_path_factory.mktemp("gguf")

    @cache
    def file(model: str = "zoo:tiny", kind: str = "F32") -> Path:
        path = folder / f"{content_hash([model, kind])[:8]}-{kind}.gguf"
        convert(parse_model(model), path, kind)
        return path

    return file


@pytest.fixture(scope="session")
def run_model() -> Iterator[Callable[..., Runner]]:
    """Open a model by its string and options; once, for all tests that ask for it."""
    from runners import RunnerOptions, open_runners, parse_model

    with ExitStack() as opened:

        @cache
        def run(text: str, **options: int | str) -> Runner:
            runners = open_runners([parse_model(text)], options=RunnerOptions(**options))
            return next(opened.enter_context(closing(runners)))

        yield run


@pytest.fixture(scope="session")
def collect() -> Callable[[Iterable[Finished]], list]:
    """Put finished results in the order of their requests; each must be there exactly once."""

    def in_order(finished: Iterable[Finished]) -> list:
        pairs = [pair for batch in finished for pair in batch.results]
        assert sorted(index for index, _ in pairs) == list(range(len(pairs)))
        return [result for _, result in sorted(pairs, key=lambda pair: pair[0])]

    return in_order


class Plain:
    """The same numbers by plain transformers: one sequence at a time, no padding, all logits."""

    @staticmethod
    def load(folder: Path):
        """Return a model in float32 and its tokenizer."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(folder).requires_grad_(False)
        return model, AutoTokenizer.from_pretrained(folder)

    @staticmethod
    def loglikelihood(model, tokenizer, context: str, continuation: str) -> tuple[float, int]:
        """Return the log-probability of a continuation and its tokens."""
        import torch

        whole_text = context + continuation
        whole = tokenizer(whole_text)["input_ids"]
        n_context = len(tokenizer(context.rstrip())["input_ids"])
        if n_context == 0:
            whole, n_context = [tokenizer.eos_token_id, *whole], 1
        n_scored = len(whole) - n_context
        whole = whole[-model.config.max_position_embeddings - 1 :]
        logprobs = model(torch.tensor([whole[:-1]])).logits[0].log_softmax(-1)[-n_scored:]
        targets = torch.tensor(whole[-n_scored:])
        return logprobs.gather(1, targets[:, None]).sum().item(), n_scored


@pytest.fixture(scope="session")
def plain() -> type[Plain]:
    return Plain


CHROMIUM_SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def chromium():
    """The system's browser."""
    import shutil

    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # a busy machine needs more than the 5 s that it would get
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("browser tests need Chromium: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_SWITCHES)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., str]]:
    """Make an app and serve it on a free port of this machine until the module's tests are over."""
    import threading
    import time

    import uvicorn

    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(make_app: Callable[[], object]) -> str:
        # The app is made in the server's thread: Gradio takes the event loop that it finds.
        config = uvicorn.Config(
            make_app, factory=True, port=0, log_level="warning", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        running.append((server, thread))
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(timeout=30)


class ScriptedRunner:
    """Replies as a function of the whole prompt says; remembers what it was asked."""

    def __init__(self, spec: ModelSpec, reply: Callable[[str], str | Completion]) -> None:
        self.spec = spec
        self.reply = reply
        self.asked: list[str] = []

    def generate(self, requests):
        for place, request in enumerate(requests):
            prompt = "\n\n".join(message.content for message in request.prompt)
            self.asked.append(prompt)
            yield Finished([(place, self._completion(self.reply(prompt)))], Efficiency())

    @staticmethod
    def _completion(said: str | Completion) -> Completion:
        if isinstance(said, Completion):
            return said
        return Completion(
            text=said,
            finish_reason="stop",
            prompt_tokens=100,
            completion_tokens=10,
            duration_s=0.0,
            cost_usd=0.01,
        )

    def close(self) -> None:
        pass


class JudgingRoom:
    """A store with models' answers to prompts, and judges who follow a script."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.runners: dict[str, ScriptedRunner] = {}

    def answer(self, example: Example, model: str, *turns: str) -> ModelSpec:
        """Store a model's answers, turn by turn."""
        spec = ModelSpec(name=model, backend="fake", weights=model)
        keys = [content_hash([example.id, model, turns[: n + 1]]) for n in range(len(turns))]
        answered = [
            Answered(
                example_id=example.id,
                request_key=key,
                previous_key=previous,
                response=ScriptedRunner._completion(text),
            )
            for key, previous, text in zip(keys, [None, *keys], turns, strict=False)
        ]
        self.store.add_model(spec)
        self.store.add_examples([example])
        self.store.add_responses(spec.fingerprint, answered, task_hash="answers", took=Efficiency())
        return spec

    def member(self, reply: Callable[[str], str | Completion], name: str = "judge", **fields):
        """Make a judge whose replies follow from what it is shown."""
        from evalcore.judges.records import Judge

        spec = ModelSpec(name=name, backend="openai", weights=name)
        self.runners[spec.fingerprint] = ScriptedRunner(spec, reply)
        return Judge(name=name, spec=spec, **fields)

    def asked(self, judge) -> list[str]:
        return self.runners[judge.fingerprint].asked

    def plan(self, specs: Sequence[ModelSpec], examples: Sequence[Example], **fields):
        from evalcore.judges.answers import stored_answers
        from evalcore.judges.planning import Plan

        answers = stored_answers(self.store, specs, examples)
        shared = {"name": "prompts", "specs": tuple(specs), "examples": tuple(examples)}
        return Plan(**{"kind": "pairwise", **shared, "answers": answers, **fields})

    def judge(self, plan, *judges, prompt: str = "pairwise", **fields):
        """Do a job."""
        from evalcore.executors import LocalExecutor
        from evalcore.judges.jobs import JudgingJob
        from evalcore.judges.judging import judge
        from evalcore.judges.prompt_files import load_protocol

        fields = {"plan": plan, "protocol": load_protocol(prompt), "judges": judges, **fields}
        return judge(
            JudgingJob(**fields),
            self.store,
            executor=LocalExecutor(self.open),
            begin=lambda _label, _total: lambda _count, _cost: None,
        )

    def open(self, specs: Sequence[ModelSpec]) -> Iterator[ScriptedRunner]:
        for spec in specs:
            yield self.runners[spec.fingerprint]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[JudgingRoom]:
    """A workspace for judging."""
    from evalcore.store import open_store

    with open_store(tmp_path / "room") as store:
        yield JudgingRoom(store)


@pytest.fixture
def question():
    """Make an example of what the user says, turn by turn."""

    def make(own_id: str, *turns: str, references: Sequence[str] = (), **fields: object) -> Example:
        return Example(
            id=content_hash(["question", own_id]),
            messages=(Message(role="user", content=turns[0]),),
            follow_ups=turns[1:],
            references=tuple(references),
            metadata={"id": own_id},
            **fields,
        )

    return make


@pytest.fixture
def arena_store(tmp_path: Path) -> Iterator[Store]:
    """Open the workspace that arenas of a test share."""
    from evalcore.store import open_store

    with open_store(tmp_path / "arena") as store:
        yield store


@pytest.fixture
def open_arena(arena_store: Store) -> Iterator[Callable[..., object]]:
    """Give a function that opens an arena over made-up battles; options by their own names."""
    from arena.arena import Arena
    from arena.fake import FakeSource
    from arena.settings import ArenaSettings

    of_source = {"models", "n_items", "stored", "form", "rated"}
    of_arena = {"maker", "verifier"}
    with ExitStack() as opened:

        def open_one(**options: object) -> Arena:
            source = FakeSource(**{k: v for k, v in options.items() if k in of_source})
            rest = {k: v for k, v in options.items() if k not in of_source | of_arena}
            arena = Arena(
                arena_store,
                source,
                settings=ArenaSettings(**{"secret": "s" * 32} | rest),
                **{k: v for k, v in options.items() if k in of_arena},
            )
            return opened.enter_context(closing(arena))

        yield open_one


@dataclass
class ArenaServer:
    """A running arena, to be asked and killed."""

    pid: int
    port: int

    def post(self, name: str, body: object, *, cookie: str = "") -> tuple[int, dict, str]:
        """Ask its API over a connection of its own; return status, answer and new cookie."""
        return post_to(self.port, name, body, cookie=cookie)

    def sign_in(self) -> str:
        """Return the cookie of a new visitor."""
        return self.post("session", {})[2]


def post_to(port: int, name: str, body: object, *, cookie: str = "") -> tuple[int, dict, str]:
    from http.client import HTTPConnection

    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        headers = {"Content-Type": "application/json", "Cookie": cookie, "Connection": "close"}
        connection.request("POST", f"/api/{name}", json.dumps(body), headers)
        answer = connection.getresponse()
        new = answer.getheader("set-cookie", "").split(";")[0]
        return answer.status, json.loads(answer.read()), new


@pytest.fixture(scope="session")
def start_arena() -> Iterator[Callable[..., ArenaServer]]:
    """Give a function that starts an arena in a process of its own."""
    command = [sys.executable, str(ROOT / "tests" / "arena_server.py")]
    nursery = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    started: list[int] = []

    def start(workspace: Path, url: str = "-", *, proxy: str = "-") -> ArenaServer:
        nursery.stdin.write(f"{workspace} {url} {proxy}\n")
        nursery.stdin.flush()
        pid, link = nursery.stdout.readline().split()
        started.append(int(pid))
        return ArenaServer(int(pid), int(link.rstrip("/").rsplit(":", 1)[1]))

    yield start
    for pid in started:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    nursery.stdin.close()
    nursery.wait(60)
    nursery.stdout.close()


class Postgres:
    """A real server with a database of its own, to be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        self._bin = binaries[-1] if binaries else Path(shutil.which("postgres") or "").parent
        self._folder = folder
        # The server refuses to run as root.
        self._user = {"user": "postgres"} if os.geteuid() == 0 else {}
        self._port = free_port()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if self._user:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", folder / "data", "-A", "trust", "-U", "parity", "--no-sync")

    @property
    def url(self) -> str:
        """For ``--store``."""
        return f"postgresql+psycopg://parity@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = f"-p {self._port} -k '' -c listen_addresses=127.0.0.1"
        log = self._folder / "log"
        self._run("pg_ctl", "-D", self._folder / "data", "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "-w", "stop")

    def _run(self, name: str, *arguments: object) -> None:
        command = [str(self._bin / name), *map(str, arguments)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=True, cwd="/", **quiet, **self._user)


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL server on an empty cluster."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder) / "cluster")
        server.start()
        yield server
        with suppress(subprocess.CalledProcessError):
            server.stop()
