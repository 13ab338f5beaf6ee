"""Files in the shapes that other tools really write; the contents are our own."""

import json
import zipfile
import zlib
from copy import deepcopy
from pathlib import Path

import jsonschema
import pandas as pd
import pyarrow as pa
import pytest
from exchange_files import fresh_store, lm_eval_files, write

from evalcore.errors import InputError
from evalcore.exchange.exporting import export_votes
from evalcore.exchange.importing import import_files
from evalcore.exchange.run_exports import export_runs
from evalcore.records import Comparison


@pytest.fixture
def store(tmp_path):
    with fresh_store(tmp_path / "out") as opened:
        yield opened


def lighteval_results() -> dict[str, object]:
    """As version 0.11 writes them of a metric that measures several things at once."""
    measured = {"right": 0.5, "right_stderr": 0.5, "gave_up": 0.25, "gave_up_stderr": 0.1}
    name = "community|quiz|0"
    metric = {
        "metric_name": ["right", "gave_up"],
        "higher_is_better": {"right": True, "gave_up": False},
        "category": "GENERATIVE",
        "sample_level_fn": "Letters(language=Language.ENGLISH)",
        "corpus_level_fn": {"right": "mean", "gave_up": "mean"},
        "batched_compute": False,
    }
    return {
        "config_general": {
            "lighteval_sha": "?",
            "num_fewshot_seeds": 1,
            "max_samples": None,
            "job_id": "0",
            "model_config": {"model_name": "org/m", "generation_parameters": {"temperature": 0}},
            "model_name": "org/m",
        },
        "results": {name: measured, "all": measured},
        "versions": {},
        "config_tasks": {
            name: {
                "name": "quiz",
                "hf_repo": "org/quiz",
                "metrics": [metric],
                "original_num_docs": -1,
                "effective_num_docs": -1,
                "num_fewshots": 0,
                "version": 0,
            }
        },
        "summary_tasks": {name: {"hashes": {}, "truncated": 0}},
        "summary_general": {"hashes": {}, "truncated": 0},
    }


def test_lighteval_metrics_in_groups_keep_their_direction(store, tmp_path):
    write(tmp_path / "results_2026-11-01T10-00-00.000000.json", lighteval_results())
    import_files("lighteval", [tmp_path], store)
    (run,) = store.runs()
    assert run.higher_is_better == {"right": True, "gave_up": False}
    assert (run.estimates["right"].value, run.estimates["right"].n) == (0.5, 0)


def test_lighteval_details_that_were_forced_to_text_are_read(store, tmp_path):
    stamp = "2026-11-01T10-00-00.000000"
    write(tmp_path / f"results_{stamp}.json", lighteval_results())
    rows = [
        {
            "doc": str({"query": f"{k}?", "id": str(k), "gold_index": [0], "specific": None}),
            "metric": str({"right": float(k), "gave_up": 0}),
            "model_response": str({"text": [f"it's {k}"], "logprobs": []}),
        }
        for k in range(2)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / f"details_community|quiz|0_{stamp}.parquet")
    import_files("lighteval", [tmp_path], store)
    (run,) = store.runs()
    assert (run.estimates["right"].value, run.n_examples) == (0.5, 2)
    assert {answer.text for answer in store.generations()} == {"it's 0", "it's 1"}


def inspect_log(**results: object) -> dict[str, object]:
    """As versions from 0.3.95 on write them."""
    message = {"content": [{"type": "text", "text": "Paris"}], "role": "assistant"}
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": "a",
            "run_id": "b",
            "created": "2026-11-01T11:00:00+01:00",
            "task": "quiz",
            "task_version": 0,
            "task_args": {},
            "dataset": {"name": "quiz", "samples": 100, "sample_ids": [1], "shuffled": False},
            "model": "local/m",
            "model_generate_config": {},
            "model_roles": {},
            "config": {"limit": 1, "epochs": 1, "epochs_reducer": ["mean"]},
            "packages": {"inspect_ai": "0.3.95.dev16+g6527d0861"},
            "scorers": [{"name": "match", "options": {}, "metrics": [], "metadata": {}}],
        },
        "plan": {"name": "plan", "steps": [{"solver": "generate", "params": {}}], "config": {}},
        "results": {"total_samples": 1, "completed_samples": 1, **results},
        "stats": {"model_usage": {}},
        "samples": [
            {
                "id": 1,
                "epoch": 1,
                "input": "The capital of France?",
                "target": " Paris",
                "messages": [],
                "output": {"model": "m", "choices": [{"message": message, "stop_reason": "stop"}]},
                "scores": {"match": {"value": "C", "answer": "Paris", "explanation": "Paris"}},
                "metadata": {"label_confidence": 0.9},
                "store": {},
                "events": [{"event": "sample_init", "sample": {"input": "attachment://0"}}],
                "attachments": {"0": "The capital of France?"},
                "uuid": "c",
            }
        ],
    }


def measured(value: float, **others: object) -> dict[str, object]:
    metrics = {"accuracy": value, "stderr": 0.1}
    return {
        "name": "match",
        "scorer": "match",
        "params": {},
        "metrics": {name: {"name": name, "value": x, "params": {}} for name, x in metrics.items()},
        **others,
    }


def packed(path: Path, log: dict[str, object]) -> Path:
    """Write an ``.eval`` archive as Inspect does: each member in frames of Zstandard."""
    members = {f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in log.pop("samples")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"_journal/start.json": {}, **members, "header.json": log}.items():
            raw = json.dumps(content).encode()
            half = len(raw) // 2
            frames = [pa.compress(part, "zstd", asbytes=True) for part in (raw[:half], raw[half:])]
            info = zipfile.ZipInfo(name)
            archive.writestr(info, b"".join(frames))
            info.compress_type, info.file_size, info.CRC = 93, len(raw), zlib.crc32(raw)
    return path


@pytest.mark.parametrize("ending", ["json", "eval"])
def test_inspect_logs_of_today_become_a_run(store, tmp_path, ending):
    log, path = inspect_log(scores=[measured(1.0)]), tmp_path / f"log.{ending}"
    if ending == "json":
        write(path, log)
    else:
        packed(path, log)
    import_files("inspect", [path], store)
    (run,) = store.runs()
    assert (run.estimates["match"].value, run.n_examples) == (1.0, 1)
    assert [answer.text for answer in store.generations()] == ["Paris"]
    (example,) = store.examples(run.task_hash)
    assert example.references == (" Paris",)


def test_inspect_archive_with_a_wrong_checksum_is_told(store, tmp_path):
    path = packed(tmp_path / "log.eval", inspect_log(scores=[measured(1.0)]))
    raw = path.read_bytes()
    at = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 1)  # that of the sample
    path.write_bytes(raw[: at + 16] + b"\0\0\0\0" + raw[at + 20 :])
    with pytest.raises(InputError, match=r"log\.eval, samples/1_epoch_1\.json: damaged"):
        import_files("inspect", [path], store)
    assert store.runs() == []


def test_inspect_log_with_several_ways_to_reduce_epochs_keeps_all(store, tmp_path):
    scores = [measured(1.0, reducer="mean"), measured(0.25, reducer="at_least_2")]
    log = inspect_log(scores=scores)
    log["samples"] = []
    import_files("inspect", [write(tmp_path / "log.json", log)], store)
    (run,) = store.runs()
    assert {name: e.value for name, e in run.estimates.items()} == {
        "match": 1.0,
        "match.at_least_2": 0.25,
    }


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_inspect_logs_of_the_first_version_become_a_run(store, tmp_path, value):
    """One scorer beside its metrics, a nameless score of each sample, and NaN as a number."""
    metrics = {"accuracy": {"name": "accuracy", "value": value}, "bootstrap_std": {"value": 0.25}}
    log = inspect_log(scorer={"name": "graded", "params": {}}, metrics=metrics) | {"version": 1}
    sample = dict(log["samples"][0])
    sample["score"] = next(iter(sample.pop("scores").values()))
    log["samples"] = [sample, sample | {"id": 2, "input": "2?", "score": {"value": "I"}}]
    import_files("inspect", [write(tmp_path / "log.json", log)], store)
    (run,) = store.runs()
    assert list(run.estimates) == ["graded"]
    assert run.estimates["graded"].value == 0.5


def test_battles_of_judges_and_people_come_back_as_such(store, tmp_path):
    rows = [
        {"instruction": "Hi", "output": f"Hello from {name}", "generator": name} for name in "ab"
    ]
    import_files("alpaca_eval", [write(tmp_path / "outputs.json", rows)], store)
    keys = {spec.name: key for key, spec in store.models().items()}
    (example_id,) = {answer.example_id for answer in store.generations()}
    store.add_comparisons(
        Comparison(
            id=f"{place:032x}",
            example_id=example_id,
            model_a=keys["a"],
            model_b=keys["b"],
            winner="tie",
            rater="somebody",
            rater_kind=kind,
            swapped=False,
            created_utc="2026-01-01T00:00:00Z",
        )
        for place, kind in enumerate(("human", "judge", "rule"))
    )
    path = tmp_path / "battles.jsonl"
    export_votes("lmarena", path, store, kinds=("human", "judge", "rule"))
    with fresh_store(tmp_path / "b") as second:
        import_files("lmarena", [path], second)
        assert {vote.id: vote.rater_kind for vote in second.comparisons()} == {
            f"{place:032x}": kind for place, kind in enumerate(("human", "judge", "rule"))
        }


TEXT, NUMBER, BOUND = {"type": "string"}, {"type": "number"}, ["Infinity", "-Infinity"]
TEXTS = {"type": "object", "additionalProperties": TEXT}


def has(required: dict[str, object], **optional: object) -> dict[str, object]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional, "additional_details": TEXTS},
    }


def one_of(*values: str) -> dict[str, object]:
    return {"enum": list(values)}


MODEL = has(
    {"name": TEXT, "id": TEXT},
    developer=TEXT,
    inference_platform=TEXT,
    inference_engine={"type": "object"},
)
MODEL["required"].append("additional_details")
MODEL["properties"]["additional_details"] = TEXTS | {
    "required": ["deployment_type", "model_availability"],
    "properties": {
        "deployment_type": one_of("self_deployed", "externally_managed", "unknown"),
        "model_availability": one_of("open_weights", "closed_weights", "unknown"),
    },
}
METRIC = has(
    {"lower_is_better": {"type": "boolean"}},
    evaluation_description=TEXT,
    metric_name=TEXT,
    score_type=one_of("binary", "continuous", "levels"),
    min_score={"anyOf": [NUMBER, {"enum": BOUND}, {"type": "null"}]},
    max_score={"anyOf": [NUMBER, {"enum": BOUND}, {"type": "null"}]},
) | {
    "allOf": [
        {
            "if": {"required": ["score_type"], "properties": {"score_type": {"const": kind}}},
            "then": {"required": needed},
        }
        for kind, needed in {
            "levels": ["level_names", "has_unknown_level"],
            "continuous": ["min_score", "max_score"],
        }.items()
    ]
}
SOURCE_DATA = {
    "oneOf": [
        has({"dataset_name": TEXT, "source_type": {"const": "url"}, "url": {"minItems": 1}}),
        has({"dataset_name": TEXT, "source_type": {"const": "hf_dataset"}}, hf_repo=TEXT),
        has({"dataset_name": TEXT, "source_type": {"const": "other"}}),
    ]
}
INTERVAL = has(
    {"lower": NUMBER, "upper": NUMBER},
    confidence_level={"type": "number", "minimum": 0, "maximum": 1},
    method=TEXT,
)
UNCERTAINTY = {
    "type": "object",
    "properties": {"confidence_interval": INTERVAL, "num_samples": {"type": "integer"}},
}
RESULT = has(
    {
        "evaluation_name": TEXT,
        "source_data": SOURCE_DATA,
        "metric_config": METRIC,
        "score_details": has({"score": NUMBER}, details=TEXTS, uncertainty=UNCERTAINTY),
    }
)
EVERY_EVAL_EVER = has(
    {
        "schema_version": TEXT,
        "evaluation_id": TEXT,
        "retrieved_timestamp": {"type": "string", "pattern": "^[0-9]+$"},
        "source_metadata": has(
            {
                "source_type": one_of("documentation", "evaluation_run"),
                "source_organization_name": TEXT,
                "evaluator_relationship": one_of(
                    "first_party", "third_party", "collaborative", "other"
                ),
            },
            source_name=TEXT,
        ),
        "model_info": MODEL,
        "eval_library": has({"name": TEXT, "version": TEXT}),
        "evaluation_results": {"type": "array", "items": RESULT},
    },
    evaluation_timestamp=TEXT,
) | {"additionalProperties": False}
"""What version 0.3.0 of the published schema demands of the fields that we write, in our words."""


def records(store, folder: Path) -> dict[str, dict[str, object]]:
    export_runs("every_eval_ever", folder, store, models=None)
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in folder.rglob("*.json")
    }


def test_every_eval_ever_records_hold_to_the_schema(store, tmp_path):
    import_files("lm_eval", [lm_eval_files(tmp_path / "lm")], store)
    import_files(
        "inspect", [write(tmp_path / "log.json", inspect_log(scores=[measured(1.0)]))], store
    )
    found = records(store, tmp_path / "eee")
    assert len(found) == 2
    for name, record in found.items():
        jsonschema.validate(record, EVERY_EVAL_EVER, cls=jsonschema.Draft7Validator)
        collection, developer, model, file = name.split("/")
        assert f"{developer}/{model}" in ("org/m", "local/m")
        assert collection == record["evaluation_results"][0]["source_data"]["dataset_name"]
        assert file[14] == "4"  # a UUID of version 4
        assert file[19] in "89ab"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("model_info", "additional_details", "deployment_type"), "cloud"),
        (("evaluation_results", 0, "metric_config", "lower_is_better"), "no"),
        (("evaluation_results", 0, "source_data", "source_type"), "url"),
        (("evaluation_results", 0, "score_details", "details"), {"n": 1}),
        (("source_metadata", "evaluator_relationship"), "self"),
        (("notes",), "x"),
    ],
)
def test_statement_of_the_schema_refuses_what_the_schema_does(store, tmp_path, place, value):
    import_files("lm_eval", [lm_eval_files(tmp_path / "lm")], store)
    (record,) = records(store, tmp_path / "eee").values()
    changed = at = deepcopy(record)
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, EVERY_EVAL_EVER, cls=jsonschema.Draft7Validator)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"\\ud83d"', r"line 2: .*\\ud83d is half a character"),
        ("1" + "0" * 400, r"line 2: .*a whole number of 401 digits"),
        ("[" * 100_000, r"line 2: .*nested too deeply"),
    ],
)
def test_json_that_no_database_holds_is_told_by_line(store, tmp_path, text, said):
    good = json.dumps({"model_a": "a", "model_b": "b", "winner": "tie"})
    bad = f'{{"model_a": {text}, "model_b": "b", "winner": "tie"}}'
    (tmp_path / "votes.jsonl").write_text(f"{good}\n{bad}\n")
    with pytest.raises(InputError, match=said):
        import_files("votes", [tmp_path / "votes.jsonl"], store)
    assert list(store.comparisons()) == []


def test_both_halves_of_a_character_are_one(store, tmp_path):
    row = '{"model_a": "\\ud83d\\ude00", "model_b": "b", "winner": "tie"}'
    (tmp_path / "votes.jsonl").write_text(row + "\n")
    import_files("votes", [tmp_path / "votes.jsonl"], store)
    assert {spec.name for spec in store.models().values()} == {"\N{GRINNING FACE}", "b"}


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_texts_that_are_no_utf8_are_told(store, tmp_path, ending):
    row = {"question_id": "a" * 32, "model_a": "a", "model_b": "b", "winner": "tie"}
    path = tmp_path / f"votes.{ending}"
    if ending == "jsonl":
        write(path, [row])
    else:
        pd.DataFrame([row]).to_parquet(path, compression=None)
    path.write_bytes(path.read_bytes().replace(b"a" * 32, b"a" * 31 + b"\x91"))
    with pytest.raises(InputError, match=f"votes.{ending}"):
        import_files("lmarena", [path], store)
    assert list(store.comparisons()) == []


@pytest.mark.parametrize("empty", [[], "", None])
def test_lm_eval_results_without_versions_are_read(store, tmp_path, empty):
    (path,) = lm_eval_files(tmp_path / "lm").glob("*/results_*.json")
    write(path, json.loads(path.read_text()) | {"versions": empty})
    import_files("lm_eval", [path], store)
    assert len(store.runs()) == 1
