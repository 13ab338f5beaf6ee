"""Files of other tools, taken into the workspace."""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from exchange_files import fresh_store, lm_eval_files, write

from evalcore.exchange.importing import import_files
from evalcore.exchange.repeats import Repeats


@pytest.fixture
def store(tmp_path: Path):
    with fresh_store(tmp_path / "out") as store:
        yield store


def conversation(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]


def battle(number: int, **fields: object) -> dict[str, object]:
    return {
        "question_id": f"{number:032x}",
        "model_a": "x",
        "model_b": "y",
        "winner": "model_a",
        "judge": f"arena_user_{number}",
        "conversation_a": conversation("Hi", "Hello"),
        "conversation_b": conversation("Hi", "Yo"),
        "turn": 1,
        "anony": True,
        "language": "English",
        "tstamp": 1.7e9 + number,
        **fields,
    }


def names(store) -> dict[str, str]:
    return {fingerprint: spec.name for fingerprint, spec in store.models().items()}


def test_battles_bring_prompts_answers_and_votes(store, tmp_path):
    labels = ("model_a", "model_b", "tie", "tie (bothbad)")
    rows = [battle(number, winner=label) for number, label in enumerate(labels)]
    done = import_files("lmarena", [write(tmp_path / "battles.jsonl", rows)], store)
    assert (done.n_new["example"], done.n_new["generation"], done.n_new["comparison"]) == (1, 2, 4)
    votes = list(store.comparisons())
    assert [vote.winner for vote in votes] == ["model_a", "model_b", "tie", "both_bad"]
    assert [vote.rater for vote in votes] == ["0", "1", "2", "3"]
    assert {vote.rater_kind for vote in votes} == {"human"}
    assert not any(vote.swapped for vote in votes)
    assert votes[1].created_utc == "2023-11-14T22:13:21Z"
    (example,) = store.examples_by_id([votes[0].example_id]).values()
    assert example.messages[0].content == "Hi"
    assert {answer.text for answer in store.generations()} == {"Hello", "Yo"}


def test_the_same_file_again_changes_nothing(store, tmp_path):
    path = write(tmp_path / "battles.jsonl", [battle(1), battle(2)])
    import_files("lmarena", [path], store)
    again = import_files("lmarena", [path], store)
    assert set(again.n_new.values()) == {0}
    assert len(store.sources()) == 1


def test_source_of_a_vote_can_be_told(store, tmp_path):
    path = write(tmp_path / "battles.jsonl", [battle(1)])
    done = import_files("lmarena", [path], store)
    ((_, source),) = store.comparisons_with_source(kinds=["human"])
    (known,) = store.sources()
    assert source == known["id"]
    assert (known["path"], known["format"]) == (str(path), "lmarena")
    assert known["sha256"] == done.files[0].sha256
    assert known["imported_utc"].endswith("Z")


def test_battles_of_csv_with_one_winner_of_three(store, tmp_path):
    """The shape of the 55k set: turns as JSON lists in CSV, integers as ids."""
    frame = pd.DataFrame(
        {
            "id": [30192, 53567],
            "model_a": ["x", "y"],
            "model_b": ["y", "z"],
            "prompt": ['["Hi", "And?"]', '["Bye"]'],
            "response_a": ['["Hello", "So."]', '["Ciao"]'],
            "response_b": ['["Yo", null]', '["Adieu"]'],
            "winner_model_a": [1, 0],
            "winner_model_b": [0, 0],
            "winner_tie": [0, 1],
        }
    )
    path = tmp_path / "train.csv"
    frame.to_csv(path, index=False)
    done = import_files("lmarena", [path], store)
    assert (done.n_new["example"], done.n_new["generation"]) == (2, 6)
    votes = list(store.comparisons())
    assert sorted(vote.winner for vote in votes) == ["model_a", "tie"]
    found = store.examples_by_id([vote.example_id for vote in votes]).values()
    assert sorted(example.follow_ups for example in found) == [(), ("And?",)]


def test_battles_of_parquet_with_parts_and_tags(store, tmp_path):
    """The shapes of the 140k and the expert set: contents in parts, tags, times as such."""
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi", "image": None}]}]
    answer = [{"role": "assistant", "content": [{"type": "text", "text": "Yo", "image": None}]}]
    tags = {"law": False, "medicine": True}
    frame = pd.DataFrame(
        {
            "id": ["0b6a2a4e-4f0e-4c1c-9f6e-0b6a2a4e4f0e"],
            "model_a": ["x"],
            "model_b": ["y"],
            "winner": ["both_bad"],
            "conversation_a": [parts + answer],
            "conversation_b": [parts + answer],
            "evaluation_order": [1],
            "occupational_tags": [tags],
            "timestamp": pd.to_datetime(["2025-07-01T10:00:00Z"]),
        }
    )
    frame.to_parquet(tmp_path / "expert.parquet")
    import_files("lmarena", [tmp_path / "expert.parquet"], store)
    (vote,) = store.comparisons()
    (example,) = store.examples_by_id([vote.example_id]).values()
    assert (vote.id, vote.winner) == ("0b6a2a4e-4f0e-4c1c-9f6e-0b6a2a4e4f0e", "both_bad")
    assert (example.messages[0].content, example.category) == ("Hi", "medicine")
    assert vote.created_utc == "2025-07-01T10:00:00Z"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_bare_battles_of_any_ending_are_the_same_votes(store, tmp_path, ending):
    rows = [
        {key: value for key, value in battle(number).items() if "conversation" not in key}
        for number in range(20)
    ]
    frame, path = pd.DataFrame(rows), tmp_path / f"votes.{ending}"
    if ending == "jsonl":
        write(path, rows)
    elif ending == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    import_files("lmarena", [path], store)
    votes = sorted(store.comparisons(), key=lambda vote: vote.id)
    assert [vote.id for vote in votes] == [f"{number:032x}" for number in range(20)]
    assert {vote.example_id for vote in votes} == {vote.id for vote in votes}


def test_votes_without_ids_count_as_often_as_they_come(store, tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,winner\n" + "x,y,tie\n" * 3 + "y,x,model_a\n")
    assert import_files("votes", [path], store).n_new["comparison"] == 4
    assert import_files("votes", [path], store).n_new["comparison"] == 0


def test_fastchat_log_knows_hidden_names_and_keeps_no_address(store, tmp_path):
    messages = [["Human", "Hi"], ["Assistant", "Hello"]]
    states = [
        {"conv_id": "c1", "model_name": name, "offset": 0, "messages": messages}
        for name in ("x", "y")
    ]
    vote = {"tstamp": 1.7e9, "type": "rightvote", "models": ["", ""], "states": states}
    path = tmp_path / "2023-05-10-conv.json"
    of_itself = vote | {"states": [states[0], states[0]]}
    lines = [{**vote, "ip": "192.0.2.7"}, {"tstamp": 1.7e9, "type": "chat"}, of_itself]
    path.write_text("\n".join(map(json.dumps, lines)))
    done = import_files("fastchat", [path], store)
    assert done.n_skipped == 2
    (found,) = store.comparisons()
    assert (names(store)[found.model_a], found.winner) == ("x", "model_b")
    assert "192.0.2.7" not in json.dumps(asdict(found))


def test_fastchat_folder_is_read_questions_first(store, tmp_path):
    bench = tmp_path / "mt_bench"
    question = {"question_id": 81, "category": "writing", "turns": ["Write.", "Again."]}
    write(bench / "question.jsonl", [question])
    answer = {"question_id": 81, "answer_id": "a", "model_id": "x", "tstamp": 1.7e9}
    choices = [{"index": 0, "turns": ["One.", "Two."]}]
    write(bench / "model_answer" / "x.jsonl", [{**answer, "choices": choices}])
    rated = {"question_id": 81, "model": "x", "judge": ["gpt-4", "single-v1"], "tstamp": 1.7e9}
    ratings = [{**rated, "turn": 1, "score": 8.0}, {**rated, "turn": 2, "score": -1}]
    write(bench / "model_judgment" / "gpt-4_single.jsonl", ratings)
    done = import_files("fastchat", [bench], store)
    (run,) = store.runs()
    assert run.task == "fastchat:single:gpt-4"
    assert run.estimates["rating_turn_1"].value == 8.0
    assert run.estimates["rating"].n_unscored == run.estimates["rating_turn_2"].n_unscored == 1
    assert "1 of 2 answers have no rating" in done.warnings[0]
    (example,) = store.examples(run.task_hash)
    chain = store.conversations(run.spec.fingerprint, [example.id])[example.id]
    assert [turn.text for turn in chain] == ["One.", "Two."]


def test_arena_hard_shows_the_baseline_first_in_game_one(store, tmp_path):
    write(tmp_path / "question.jsonl", [{"uid": "q1", "category": "c", "prompt": "Hi"}])
    messages = [{"role": "user", "content": "Hi"}]
    said = [*messages, {"role": "assistant", "content": {"answer": "Hello"}}]
    answer = {"uid": "q1", "ans_id": "a", "model": "x", "messages": said}
    write(tmp_path / "model_answer" / "x.jsonl", [answer])
    games = [{"score": "B>>A", "judgment": "B"}, {"score": "A>B", "judgment": {"answer": "A"}}]
    judged = {"uid": "q1", "judge": "gpt-4.1", "model": "x", "baseline": "o3", "games": games}
    write(tmp_path / "model_judgment" / "gpt-4.1" / "x.jsonl", [judged])
    import_files("arena_hard", [tmp_path], store)
    verdicts = sorted(store.verdicts(), key=lambda verdict: verdict.swapped)
    assert [(names(store)[v.model_a], v.swapped, v.value) for v in verdicts] == [
        ("o3", False, 0.0),
        ("o3", True, 0.25),
    ]
    (comparison,) = store.comparisons()
    assert comparison.winner == "model_b"
    assert [answer.text for answer in store.generations()] == ["Hello"]


def test_lm_eval_results_and_samples_become_a_run(store, tmp_path):
    import_files("lm_eval", [lm_eval_files(tmp_path / "lm")], store)
    (run,) = store.runs()
    assert (run.spec.name, run.task, run.n_examples) == ("org/m", "tiny", 2)
    assert list(run.higher_is_better) == ["exact_match", "exact_match.strict"]
    assert run.estimates["exact_match"].value == 0.5
    assert run.created_utc == "2026-11-01T10:00:00Z"
    assert run.code_version == "lm_eval 0.4.13"
    scores = store.scores(run.spec.fingerprint, run.task_hash)
    assert [score.value for score in scores] == [1.0, 0.0, 0.0, 0.0]
    assert {answer.text for answer in store.generations()} == {"say 0", "say 1"}


def test_lm_eval_results_alone_keep_their_standard_error(store, tmp_path):
    folder = lm_eval_files(tmp_path / "lm")
    import_files("lm_eval", [next(folder.glob("**/results_*.json"))], store)
    (run,) = store.runs()
    estimate = run.estimates["exact_match"]
    assert estimate.high - estimate.value == pytest.approx(1.96 * 0.5, rel=1e-4)
    assert (estimate.n, estimate.method) == (2, "lm_eval: standard error, normal")


@pytest.mark.parametrize("dunder", [False, True])
def test_lighteval_results_and_details_become_a_run(store, tmp_path, dunder):
    stamp = "2026-11-01T10-00-00.000000"
    results = {
        "config_general": {"lighteval_sha": "0" * 40, "model_name": "org/m", "max_samples": 2},
        "results": {"lighteval|gsm8k|0": {"em": 0.5, "em_stderr": 0.5}, "all": {"em": 0.5}},
        "versions": {"lighteval|gsm8k|0": 0},
        "config_tasks": {"lighteval|gsm8k": {"name": "gsm8k", "effective_num_docs": 2}},
        "summary_tasks": {},
        "summary_general": {},
    }
    write(tmp_path / "results" / "org" / "m" / f"results_{stamp}.json", results)
    mark = "__" if dunder else ""
    rows = [
        {
            f"{mark}doc{mark}": {"query": f"{number}?", "id": str(number)},
            f"{mark}metric{mark}": {"em": float(number)},
            f"{mark}model_response{mark}": {"text": [f"say {number}"]},
        }
        for number in range(2)
    ]
    details = tmp_path / "details" / "org" / "m" / stamp
    details.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(details / f"details_lighteval|gsm8k|0_{stamp}.parquet")
    import_files("lighteval", [tmp_path / "results", tmp_path / "details"], store)
    (run,) = store.runs()
    assert (run.task, run.estimates["em"].value, run.n_examples) == ("lighteval|gsm8k|0", 0.5, 2)
    assert run.created_utc == "2026-11-01T10:00:00Z"
    assert {answer.text for answer in store.generations()} == {"say 0", "say 1"}


def inspect_log() -> dict[str, object]:
    samples = [
        {
            "id": number,
            "epoch": epoch,
            "input": f"{number}?",
            "target": str(number),
            "output": {"choices": [{"message": {"role": "assistant", "content": f"say {number}"}}]},
            "scores": {"match": {"value": "C" if number else "I"}, "length": {"value": 4}},
        }
        for number in range(2)
        for epoch in (1, 2)
    ]
    metrics = {"accuracy": {"name": "accuracy", "value": 0.5}, "stderr": {"value": 0.5}}
    scores = [{"name": "match", "scorer": "match", "scored_samples": 2, "metrics": metrics}]
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "task": "quiz",
            "model": "org/m",
            "created": "2026-11-01T11:00:00+01:00",
            "packages": {"inspect_ai": "0.3.99"},
        },
        "results": {"total_samples": 2, "completed_samples": 2, "scores": scores},
        "samples": samples,
    }


@pytest.mark.parametrize("ending", ["json", "eval"])
def test_inspect_logs_become_a_run(store, tmp_path, ending):
    log, path = inspect_log(), tmp_path / f"log.{ending}"
    if ending == "json":
        write(path, log)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for sample in log.pop("samples"):
                name = f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
                archive.writestr(name, json.dumps(sample))
            archive.writestr("header.json", json.dumps(log))
    import_files("inspect", [path], store)
    (run,) = store.runs()
    assert (run.task, run.spec.name, run.created_utc) == ("quiz", "org/m", "2026-11-01T10:00:00Z")
    assert (run.estimates["match"].value, run.estimates["match"].n) == (0.5, 2)
    assert run.estimates["length"].value == 4.0
    assert [example.references for example in store.examples(run.task_hash)] == [("0",), ("1",)]


def test_alpaca_eval_outputs_are_answers(store, tmp_path):
    row = {"instruction": "Hi", "output": "Hello", "generator": "x", "dataset": "koala"}
    path = write(tmp_path / "model_outputs.json", [{**row, "datasplit": "eval"}])
    import_files("alpaca_eval", [path], store)
    (answer,) = store.generations()
    (example,) = store.examples_by_id([answer.example_id]).values()
    assert (answer.text, example.category) == ("Hello", "koala")


def test_imported_runs_stand_on_a_leaderboard(store, tmp_path):
    from leaderboards.standings import standings

    import_files("lm_eval", [lm_eval_files(tmp_path / "lm")], store)
    (standing,) = standings(store).standings
    assert (standing.model.name, standing.rating.value) == ("org/m", 0.5)


@pytest.mark.parametrize(
    ("form", "path", "counts"),
    [
        ("fastchat", "vicuna", {"example": 80, "generation": 400, "comparison": 320}),
        ("fastchat", "llm_judge/mt_bench", {"example": 80}),
        ("fastchat", "mtbench_human/gpt4_pair.jsonl", {"comparison": 1200}),
        ("votes", "mtbench_human/human.jsonl", {"comparison": 1689}),
        ("alpaca_eval", "alpaca_eval/ae2_full_rows.parquet", {"example": 805, "comparison": 5635}),
        ("arena_hard", "arena_hard", {"example": 500}),
        ("pandalm", "pandalm", {"comparison": 3 * 999 + 974}),
    ],
)
def test_published_files_are_read_whole(shared_data, store, form, path, counts):
    done = import_files(form, [shared_data / path], store)
    assert {name: done.n_new[name] for name in counts} == counts


def test_repeats_are_found_within_and_between_batches():
    repeats = Repeats()
    assert repeats.add(["a", "b", "a"]).tolist() == [False, False, True]
    assert repeats.add(["c", "b"]).tolist() == [False, True]
    assert repeats.add([]).tolist() == []
    assert repeats.add(["c", "d"]).tolist() == [True, False]


def test_arena_hard_of_version_0_1_is_read_whole(store, tmp_path):
    question = {"question_id": "q1", "category": "arena-hard-v0.1", "turns": [{"content": "Hi"}]}
    said = {"index": 0, "turns": [{"content": "Yo", "token_len": 1}]}
    games = [{"score": "A>B", "judgment": "[[A>B]]"}, {"score": "B>>A", "judgment": "[[B>>A]]"}]
    write(tmp_path / "f" / "question.jsonl", [question])
    rows = [{"question_id": "q1", "answer_id": "a", "model_id": "x", "choices": [said]}]
    write(tmp_path / "f" / "model_answer" / "x.jsonl", rows)
    judged = [{"question_id": "q1", "model": "x", "judge": "gpt-4", "games": games}]
    write(tmp_path / "f" / "model_judgment" / "gpt-4" / "x.jsonl", judged)
    done = import_files("arena_hard", [tmp_path / "f"], store)
    assert [done.n_new[name] for name in ("example", "generation", "comparison")] == [1, 1, 1]
    (answer, *_) = store.generations()
    example = store.examples_by_id([answer.example_id])[answer.example_id]
    assert [turn.content for turn in example.messages] == ["Hi"]


def test_fastchat_log_with_pictures_keeps_what_was_said(store, tmp_path):
    def state(name: str) -> dict[str, object]:
        messages = [["USER", ["What is this?", ["hash"]]], ["ASSISTANT", f"{name} says"]]
        return {"conv_id": "c", "model_name": name, "offset": 0, "messages": messages}

    vote = {"tstamp": 1.7e9, "type": "leftvote", "models": ["", ""], "ip": "1.2.3.4"}
    path = tmp_path / "2024-01-01-conv.json"
    path.write_text(json.dumps(vote | {"states": [state("x"), state("y")]}) + "\n")
    import_files("fastchat", [path], store)
    (answer, *_) = store.generations()
    example = store.examples_by_id([answer.example_id])[answer.example_id]
    assert example.messages[0].content == "What is this?"


def test_lm_eval_answer_that_is_a_number_is_an_answer(store, tmp_path):
    (path,) = lm_eval_files(tmp_path / "f").glob("*/samples_*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write(path, [row | {"resps": [[f"{row['doc_id']}42"]]} for row in rows])
    import_files("lm_eval", [tmp_path / "f"], store)
    assert sorted(answer.text for answer in store.generations()) == ["042", "142"]


def test_lm_eval_samples_of_before_0_4_5_go_to_filters_in_their_order(tmp_path):
    (path,) = lm_eval_files(tmp_path / "f").glob("*/samples_*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = []
    for name, left_out in (("today", ()), ("before", ("filter", "metrics"))):
        write(path, [{k: x for k, x in row.items() if k not in left_out} for row in rows])
        with fresh_store(tmp_path / name) as store:
            import_files("lm_eval", [tmp_path / "f"], store)
            (run,) = store.runs()
            scores = store.scores(run.spec.fingerprint, run.task_hash)
            found.append((run.estimates, sorted(map(repr, scores))))
    assert found[0] == found[1]
    assert found[0][1]


def test_half_a_character_in_a_cell_of_csv_becomes_a_sign_for_it(store, tmp_path):
    cells = {"prompt": r'["Hi \ud83d"]', "response_a": r'["\ud83d\ude00"]', "response_b": '["b"]'}
    marks = {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}
    path = tmp_path / "train.csv"
    pd.DataFrame([{"id": 1, "model_a": "x", "model_b": "y", **cells, **marks}]).to_csv(path)
    import_files("lmarena", [path], store)
    answers = list(store.generations())
    (example,) = store.examples_by_id([answers[0].example_id]).values()
    assert example.messages[0].content == "Hi \ufffd"
    assert {answer.text for answer in answers} == {"\U0001f600", "b"}
