"""Judging jobs in MLflow, and a judge as a scorer of mlflow.genai."""

import json
import shutil

import pandas as pd
import pytest

from evalcore.errors import InputError
from evalcore.judges.bias.evidence import gather
from evalcore.judges.bias.report import bias_report
from evalcore.judges.foreign import read_foreign
from evalcore.judges.foreign.importing import import_verdicts
from evalcore.judges.prompt_files import load_protocol
from evalcore.protocols import Completion, Finished
from evalcore.records import Efficiency, ModelSpec
from evalcore.store import open_store
from leaderboards.judging import sync_judging
from leaderboards.scorer import make_scorer
from leaderboards.tracking import MlflowClient

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """MLflow puts artifacts below the working directory, where its server names no place."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def workspace(tmp_path, empty_mlflow):
    """One judge's verdicts on two models in both orders; MLflow is in ``mlflow.db`` beside."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    games = [
        {"question_id": k, "model_1": "x", "model_2": "y", "judge": ["gpt-4", "pair-v2"]}
        | {"g1_winner": "model_1", "g2_winner": "model_2" if k % 4 == 0 else "model_1"}
        for k in range(40)
    ]
    file = tmp_path / "gpt-4_pair.jsonl"
    file.write_text("\n".join(map(json.dumps, games)))
    with open_store(tmp_path) as store:
        import_verdicts(read_foreign("fastchat", file), store)
        yield store, tmp_path


def synced(store, folder):
    reports = [bias_report(gather(store, "gpt-4"))]
    return sync_judging(
        reports,
        store,
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        artifacts=folder / "files",
    )


def runs(folder):
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("parity/main").experiment_id
    return client, client.search_runs([experiment], "tags.`parity.kind` = 'judge'")


def test_a_job_is_one_run_with_its_verdicts_as_a_table(workspace):
    store, folder = workspace
    assert synced(store, folder).n_created == 1
    client, found = runs(folder)
    (run,) = found
    assert run.data.params["judge"] == "gpt-4"
    assert run.data.params["prompt_versions"] == "pair-v2"
    assert run.data.metrics["consistency"] == pytest.approx(0.75)
    assert run.data.metrics["position_bias"] == pytest.approx(0.125)
    assert run.data.metrics["win_rate/x against y"] == pytest.approx(0.875)
    low, high = (run.data.metrics[f"position_bias_{end}"] for end in ("low", "high"))
    assert low < 0.125 < high
    path = client.download_artifacts(run.info.run_id, "verdicts.parquet", str(folder))
    table = pd.read_parquet(path)
    assert len(table) == 80
    assert set(table["model_a"]) == {"x"}


def test_the_same_job_is_written_once_and_a_changed_one_replaces_it(workspace):
    store, folder = workspace
    synced(store, folder)
    again = synced(store, folder)
    assert (again.n_created, again.n_unchanged) == (0, 1)
    game = {"question_id": 99, "model_1": "x", "model_2": "y", "judge": ["gpt-4", "pair-v2"]}
    file = folder / "more_pair.jsonl"
    file.write_text(json.dumps(game | {"g1_winner": "tie", "g2_winner": "tie"}))
    import_verdicts(read_foreign("fastchat", file), store)
    assert synced(store, folder).n_created == 1
    (run,) = runs(folder)[1]
    assert run.data.metrics["n_verdicts"] == 82


def test_the_command_mirrors_judges(workspace, parity):
    _, folder = workspace
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    code, out, _ = parity("judge", "report", "-w", folder, "--tracking-uri", uri)
    assert code == 0
    assert "MLflow experiment parity/main: 1 runs written, 0 there already." in out


class ScriptedJudge:
    """Replies that depend on the prompt only, and a count of the calls."""

    def __init__(self, reply):
        self.spec = ModelSpec(name="scripted", backend="fake", weights="scripted")
        self.reply, self.calls = reply, 0

    def generate(self, requests):
        self.calls += len(requests)
        done = [
            Completion(
                text=self.reply(request.prompt[-1].content),
                finish_reason="stop",
                prompt_tokens=1,
                completion_tokens=1,
                duration_s=0.0,
            )
            for request in requests
        ]
        yield Finished(list(enumerate(done)), Efficiency())


def rate_by_length(text):
    return json.dumps({"explanation": "so", "rating": 9 if "Long answer" in text else 3})


def test_a_judge_rates_as_a_scorer():
    judge = ScriptedJudge(rate_by_length)
    score = make_scorer(judge, load_protocol("single"))
    feedback = score(inputs={"question": "Why?"}, outputs="Long answer.")
    assert feedback.value == 9
    assert feedback.source.source_id == "scripted"
    assert score.name.startswith("scripted/single")


def test_a_scorer_judges_pairs_in_both_orders():
    judge = ScriptedJudge(lambda _text: '{"explanation": "so", "verdict": "A"}')
    score = make_scorer(judge, load_protocol("pairwise"))
    feedback = score(inputs="Why?", outputs="Because.", expectations={"baseline": "Dunno."})
    assert feedback.value == 0.5
    assert judge.calls == 2


def test_a_scorer_prefers_the_better_answer_wherever_it_is():
    def reply(text):
        first = text.index("Because") < text.index("Dunno")
        return json.dumps({"explanation": "so", "verdict": "A" if first else "B"})

    score = make_scorer(ScriptedJudge(reply), load_protocol("pairwise"))
    feedback = score(inputs="Why?", outputs="Because.", expectations={"baseline": "Dunno."})
    assert feedback.value == 1.0


def test_what_a_scorer_cannot_read_is_an_error_with_the_text():
    score = make_scorer(ScriptedJudge(lambda _text: "Well, hard to say."), load_protocol("single"))
    feedback = score(inputs="Why?", outputs="Because.")
    assert feedback.value is None
    assert "hard to say" in feedback.error.error_message


def test_a_scorer_with_a_workspace_asks_once(tmp_path):
    judge = ScriptedJudge(rate_by_length)
    with open_store(tmp_path) as store:
        score = make_scorer(judge, load_protocol("single"), store=store)
        values = [score(inputs="Why?", outputs="Short.").value for _ in range(3)]
    assert values == [3, 3, 3]
    assert judge.calls == 1


def test_a_scorer_for_pairs_needs_a_baseline():
    score = make_scorer(ScriptedJudge(rate_by_length), load_protocol("pairwise"))
    with pytest.raises(InputError, match="expectations must have baseline or expected_response"):
        score(inputs="Why?", outputs="Because.", expectations={})


def test_a_ranking_is_no_scorer():
    with pytest.raises(InputError, match="single answers or pairs"):
        make_scorer(ScriptedJudge(rate_by_length), load_protocol("ranking"))


@pytest.mark.filterwarnings("ignore")  # MLflow's own imports warn of types, fields and threads
def test_genai_evaluate_takes_the_scorer(tmp_path, empty_mlflow, monkeypatch):
    """Rows are few, and the tool is told to use one thread: more lose rows on SQLite."""
    import mlflow

    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_GENAI_EVAL_MAX_WORKERS", "1")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        traces = str(tmp_path / "artifacts")  # else they would go to the working directory
        mlflow.set_experiment(
            experiment_id=mlflow.create_experiment("scorer", artifact_location=traces)
        )
        score = make_scorer(ScriptedJudge(rate_by_length), load_protocol("single"))
        data = [
            {"inputs": {"question": "Why?"}, "outputs": text} for text in ("Long answer.", "Short.")
        ]
        result = mlflow.genai.evaluate(data=data, scorers=[score])
    finally:
        mlflow.set_tracking_uri(before)
    (mean,) = [value for name, value in result.metrics.items() if name.endswith("/mean")]
    assert mean == 6.0
