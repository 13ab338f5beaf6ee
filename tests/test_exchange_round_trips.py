"""What is written for another tool and read again is what it was."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from exchange_files import fresh_store, lm_eval_files
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yaml import safe_load

from evalcore.errors import InputError
from evalcore.exchange.answer_exports import export_alpaca_eval
from evalcore.exchange.exporting import export_votes
from evalcore.exchange.formats.every_eval_ever import check_record
from evalcore.exchange.importing import import_files
from evalcore.exchange.run_exports import export_runs
from evalcore.protocols import Completion
from evalcore.records import Comparison, Efficiency, Example, Message, ModelSpec
from evalcore.store import Store
from evalcore.store.store import Answered
from evalcore.votes import read_votes

KINDS = ("human", "judge", "rule", "simulated")
ONCE = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def votes_of(store: Store) -> list[tuple[object, ...]]:
    names = {fingerprint: spec.name for fingerprint, spec in store.models().items()}
    return sorted(
        (
            *(vote.id, vote.example_id, names[vote.model_a], names[vote.model_b], vote.winner),
            *(vote.rater, vote.rater_kind, vote.swapped, vote.created_utc),
        )
        for vote in store.comparisons(kinds=KINDS)
    )


def answers_of(store: Store) -> list[tuple[object, ...]]:
    names = {fingerprint: spec.name for fingerprint, spec in store.models().items()}
    return sorted(
        (names[a.fingerprint], a.example_id, a.request_key, a.previous_key or "", a.text)
        for a in store.generations()
    )


def through(store: Store, form: str, path: Path, folder: Path, **options: object) -> Store:
    """Export a workspace, and import that into a new one."""
    if form in ("lm_eval",):
        export_runs(form, path, store, models=None)
    elif form == "alpaca_eval":
        export_alpaca_eval(path, store, models=None)
    else:
        export_votes(form, path, store, kinds=KINDS)
    second = fresh_store(folder)
    import_files(form, [path], second, **options)
    return second


@pytest.mark.parametrize(
    ("form", "file", "ending"),
    [
        ("fastchat", "mtbench_human/gpt4_pair.jsonl", "jsonl"),
        ("votes", "mtbench_human/human.jsonl", "csv"),
        ("votes", "mtbench_human/human.jsonl", "parquet"),
        ("fastchat", "vicuna", "jsonl"),
    ],
)
def test_published_votes_come_back(shared_data, tmp_path, form, file, ending):
    with fresh_store(tmp_path / "a") as first:
        import_files(form, [shared_data / file], first)
        with through(first, "votes", tmp_path / f"v.{ending}", tmp_path / "b") as second:
            assert votes_of(second) == votes_of(first)


def test_published_reviews_come_back_as_battles(shared_data, tmp_path):
    """320 pairs of answers with their texts; what a battle can't say is the judge's words."""
    with fresh_store(tmp_path / "a") as first:
        import_files("fastchat", [shared_data / "vicuna"], first)
        path = tmp_path / "battles.jsonl"
        assert export_votes("lmarena", path, first, kinds=("judge",)).n_rows == 320
        with fresh_store(tmp_path / "b") as second:
            import_files("lmarena", [path], second)
            assert {(v[0], v[5], v[6]) for v in votes_of(second)} == {
                (v[0], v[5], v[6]) for v in votes_of(first)
            }
            assert {row[4] for row in answers_of(second)} == {row[4] for row in answers_of(first)}
            with through(second, "lmarena", tmp_path / "again.jsonl", tmp_path / "c") as third:
                assert votes_of(third) == votes_of(second)
                assert answers_of(third) == answers_of(second)


def test_published_answers_come_back_as_alpaca_eval_outputs(shared_data, tmp_path):
    with fresh_store(tmp_path / "a") as first:
        import_files("fastchat", [shared_data / "vicuna"], first)
        answers = answers_of(first)
        with through(first, "alpaca_eval", tmp_path / "outputs.json", tmp_path / "b") as second:
            texts = {(name, text) for name, *_, text in answers}
            assert {(name, text) for name, *_, text in answers_of(second)} == texts
            export_alpaca_eval(tmp_path / "again.json", second, models=None)
        written = (tmp_path / "outputs.json").read_text()
        rows, again = (
            sorted(json.loads(text), key=lambda row: (row["generator"], row["instruction"]))
            for text in (written, (tmp_path / "again.json").read_text())
        )
        assert again == rows


def runs_of(store: Store) -> list[dict[str, object]]:
    found = []
    for run in store.runs():
        fields = asdict(run) | {"environment": {}}
        scores = [asdict(s) for s in store.scores(run.spec.fingerprint, run.task_hash)]
        found.append({**fields, "scores": scores, "examples": store.examples(run.task_hash)})
    return found


def test_lm_eval_results_come_back(tmp_path):
    with fresh_store(tmp_path / "a") as first:
        import_files("lm_eval", [lm_eval_files(tmp_path / "lm")], first)
        with through(first, "lm_eval", tmp_path / "again", tmp_path / "b") as second:
            assert runs_of(second) == runs_of(first)
            assert answers_of(second) == answers_of(first)


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12
).filter(lambda text: text.strip() == text and text not in ("nan", "NaN", "None", "null"))
MODELS = st.lists(TEXT, min_size=2, max_size=4, unique=True)


@st.composite
def comparisons(draw) -> list[Comparison]:
    models = draw(MODELS)
    pairs = st.lists(st.sampled_from(models), min_size=2, max_size=2, unique=True)
    return [
        Comparison(
            id=f"vote {number}",
            example_id=draw(TEXT),
            model_a=pair[0],
            model_b=pair[1],
            winner=draw(st.sampled_from(("model_a", "model_b", "tie", "both_bad"))),
            rater=draw(TEXT.filter(lambda text: not text.startswith("arena_user_"))),
            rater_kind=draw(st.sampled_from(KINDS[1:])),
            swapped=draw(st.booleans()),
            created_utc=f"20{draw(st.integers(10, 99))}-01-02T03:04:05Z",
        )
        for number, pair in enumerate(draw(st.lists(pairs, min_size=1, max_size=6)))
    ]


@ONCE
@given(comparisons(), st.sampled_from(["csv", "jsonl", "parquet"]))
def test_any_votes_come_back(tmp_path_factory, votes, ending):
    folder = tmp_path_factory.mktemp("votes")
    with fresh_store(folder / "a") as first:
        specs = {
            name: ModelSpec(name=name, backend="imported", weights=name)
            for vote in votes
            for name in (vote.model_a, vote.model_b)
        }
        for spec in specs.values():
            first.add_model(spec)
        first.add_comparisons(
            replace(
                vote,
                model_a=specs[vote.model_a].fingerprint,
                model_b=specs[vote.model_b].fingerprint,
            )
            for vote in votes
        )
        with through(first, "votes", folder / f"v.{ending}", folder / "b") as second:
            assert votes_of(second) == votes_of(first)


@ONCE
@given(MODELS, st.lists(TEXT, min_size=1, max_size=3), st.data())
def test_any_conversations_come_back_as_battles(tmp_path_factory, models, asked, data):
    folder = tmp_path_factory.mktemp("battles")
    said = [[data.draw(TEXT) for _ in asked] for _ in models[:2]]
    turns = [
        [
            {"role": role, "content": text}
            for question, answer in zip(asked, texts, strict=True)
            for role, text in (("user", question), ("assistant", answer))
        ]
        for texts in said
    ]
    winner = data.draw(st.sampled_from(("model_a", "model_b", "tie", "tie (bothbad)")))
    row = {"question_id": "f" * 32, "model_a": models[0], "model_b": models[1], "winner": winner}
    row |= {"judge": "arena_user_1", "tstamp": 1.7e9}
    row |= {"conversation_a": turns[0], "conversation_b": turns[1]}
    (folder / "battles.jsonl").write_text(json.dumps(row))
    with fresh_store(folder / "a") as first:
        import_files("lmarena", [folder / "battles.jsonl"], first)
        with through(first, "lmarena", folder / "again.parquet", folder / "b") as second:
            assert votes_of(second) == votes_of(first)
            assert answers_of(second) == answers_of(first)


@ONCE
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), TEXT)
def test_any_answers_come_back_as_alpaca_eval_outputs(tmp_path_factory, pairs, model):
    folder = tmp_path_factory.mktemp("outputs")
    rows = [
        {"instruction": asked, "output": said, "generator": model, "dataset": "d"}
        for asked, said in dict(pairs).items()
    ]
    (folder / "outputs.json").write_text(json.dumps(rows))
    with fresh_store(folder / "a") as first:
        import_files("alpaca_eval", [folder / "outputs.json"], first)
        with through(first, "alpaca_eval", folder / "again.json", folder / "b") as second:
            assert answers_of(second) == answers_of(first)


@ONCE
@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=1, max_size=8),
    st.sampled_from(["none", "strict-match"]),
)
def test_any_scores_come_back_as_lm_eval_samples(tmp_path_factory, values, chosen):
    folder = tmp_path_factory.mktemp("scores")
    stamp = "2026-11-01T10-00-00.000000"
    scored = [value for value in values if value is not None]
    measured = {f"acc,{chosen}": sum(scored) / len(scored)} if scored else {}
    results = {
        "results": {"t": {"alias": "t", **measured}},
        "configs": {"t": {}},
        "versions": {"t": 1},
        "n-samples": {"t": {"original": len(values), "effective": len(values)}},
        "model_name": "m",
        "date": 1793527200.0,
        "lm_eval_version": "0.4.13",
    }
    lines = [
        {
            **{"doc_id": number, "doc": {"n": number}, "target": "t", "filter": chosen},
            **{"arguments": {"gen_args_0": {"arg_0": f"Q{number}"}}, "resps": [[f"a{number}"]]},
            **{"metrics": ["acc"], "acc": value},
        }
        for number, value in enumerate(values)
    ]
    (folder / "m").mkdir()
    (folder / "m" / f"results_{stamp}.json").write_text(json.dumps(results))
    (folder / "m" / f"samples_t_{stamp}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with fresh_store(folder / "a") as first:
        import_files("lm_eval", [folder / "m"], first)
        with through(first, "lm_eval", folder / "again", folder / "b") as second:
            assert repr(runs_of(second)) == repr(runs_of(first))


def exported(store: Store, form: str, folder: Path) -> dict[str, str]:
    export_runs(form, folder, store, models=None)
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def with_run(tmp_path: Path):
    with fresh_store(tmp_path / "a") as store:
        import_files("lm_eval", [lm_eval_files(tmp_path / "lm")], store)
        yield store


def test_model_card_is_what_the_hub_takes(with_run, tmp_path):
    files = exported(with_run, "model_card", tmp_path / "cards")
    (name,) = [name for name in files if ".eval_results/tiny.yaml" in name]
    (entry,) = safe_load(files[name])
    known = EvalResultEntry(
        dataset_id="tiny", task_id="tiny", value=0.5, date="2026-11-01", notes=entry["notes"]
    )
    assert [entry] == eval_result_entries_to_yaml([known])
    assert "95 %" in entry["notes"]
    assert "n = 2" in entry["notes"]
    index = safe_load(next(text for name, text in files.items() if name.endswith("index.yaml")))
    assert index["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.5


def test_every_eval_ever_records_keep_the_interval(with_run, tmp_path):
    files = exported(with_run, "every_eval_ever", tmp_path / "eee")
    ((name, text),) = files.items()
    record = json.loads(text)
    check_record(record)
    assert name.startswith("tiny/org/m/")
    details = record["evaluation_results"][0]["score_details"]
    (run,) = with_run.runs()
    assert details["score"] == 0.5
    assert (
        details["uncertainty"]["confidence_interval"]["lower"] == run.estimates["exact_match"].low
    )


@pytest.mark.parametrize("field", ["schema_version", "model_info", "evaluation_results"])
def test_record_without_a_field_is_refused(with_run, tmp_path, field):
    (text,) = exported(with_run, "every_eval_ever", tmp_path / "eee").values()
    record = json.loads(text)
    del record[field]
    with pytest.raises(InputError, match=field):
        check_record(record)


def test_names_of_models_lead_out_of_no_folder(tmp_path):
    with fresh_store(tmp_path / "a") as store:
        row = {"instruction": "Hi", "output": "Hello", "generator": "../../x"}
        (tmp_path / "o.json").write_text(json.dumps([row]))
        import_files("alpaca_eval", [tmp_path / "o.json"], store)

        folder = lm_eval_files(tmp_path / "lm")
        (path,) = folder.glob("**/results_*.json")
        path.write_text(
            path.read_text().replace('"model_name": "org/m"', '"model_name": "../../x"')
        )
        import_files("lm_eval", [path], store)
        for form in ("lm_eval", "model_card", "every_eval_ever"):
            files = exported(store, form, tmp_path / "in" / form)
            assert files
            assert not any(".." in name.split("/") for name in files)


def test_formulas_are_harmless_in_csv_and_come_back(tmp_path):
    rows = ["model_a,model_b,winner", "'=cmd()|x,@y,tie", "plain,'-z,model_a"]
    (tmp_path / "votes.csv").write_text("\n".join(rows))
    with fresh_store(tmp_path / "a") as first:
        import_files("votes", [tmp_path / "votes.csv"], first)
        named = {spec.name for spec in first.models().values()}
        assert named == {"=cmd()|x", "@y", "plain", "-z"}
        with through(first, "votes", tmp_path / "again.csv", tmp_path / "b") as second:
            assert votes_of(second) == votes_of(first)
        cells = (tmp_path / "again.csv").read_text().replace("\n", ",").split(",")
    assert not any(cell[:1] in "=+-@" for cell in cells if cell)


def test_people_of_a_file_keep_their_names_and_those_who_voted_here_do_not(tmp_path):
    vote = {"model_a": "x", "model_b": "y", "winner": "tie", "rater": "Ann"}
    (tmp_path / "v.jsonl").write_text(json.dumps(vote))
    with fresh_store(tmp_path / "a") as store:
        import_files("votes", [tmp_path / "v.jsonl"], store)
        ((here, _),) = store.comparisons_with_source(kinds=["human"])
        store.add_comparisons([replace(here, id="here")])
        export_votes("votes", tmp_path / "out.jsonl", store, kinds=["human"])
    rows = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    raters = {row["id"] == "here": row["rater"] for row in rows}
    assert raters[False] == "Ann"
    assert raters[True] != "Ann"


def test_own_export_taken_in_again_changes_nothing(tmp_path):
    with fresh_store(tmp_path / "a") as store:
        specs = [ModelSpec(name=name, backend="fake", weights=name) for name in ("x", "y")]
        for spec in specs:
            store.add_model(spec)
        here = Comparison(
            **{"id": "v1", "example_id": "e1", "winner": "tie", "rater": "j", "swapped": True},
            model_a=specs[0].fingerprint,
            model_b=specs[1].fingerprint,
            rater_kind="judge",
            created_utc="2026-01-01T00:00:00Z",
        )
        store.add_comparisons([here])
        export_votes("votes", tmp_path / "v.csv", store, kinds=["judge"])
        done = import_files("votes", [tmp_path / "v.csv"], store)
        assert set(done.n_new.values()) == {0}
        assert len(store.models()) == 2


def test_prompts_of_several_messages_are_counted_not_bent(tmp_path):
    example = Example(
        id="e" * 32, messages=(Message(role="user", content="Hi"),), follow_ups=("?",)
    )
    answer = Completion(
        text="Yo", finish_reason="stop", prompt_tokens=1, completion_tokens=1, duration_s=0.1
    )
    with fresh_store(tmp_path / "a") as store:
        spec = ModelSpec(name="x", backend="fake", weights="x")
        store.add_model(spec)
        store.add_examples([example])
        said = Answered(example_id=example.id, request_key="k", response=answer)
        store.add_responses(spec.fingerprint, [said], task_hash="t", took=Efficiency())
        done = export_alpaca_eval(tmp_path / "o.json", store, models=None)
    assert (done.n_rows, done.left_out["several_messages"]) == (0, 1)
    assert json.loads((tmp_path / "o.json").read_text()) == []


def test_vote_file_whose_cells_are_protected_from_spreadsheets_names_the_same_models(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,winner\n'@home,'tis,tie\n", encoding="utf-8")
    assert read_votes(path).models == ("'tis", "@home")


def test_votes_on_one_prompt_keep_the_answers_of_their_own_time(tmp_path):
    """A model that was asked the same again said something else."""
    rows = [
        {
            **{"question_id": f"{k:032x}", "model_a": "x", "model_b": "y", "winner": "model_a"},
            **{"tstamp": 1.7e9 + 60 * k, "judge": "arena_user_1"},
            **{
                f"conversation_{side}": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": f"{side} {k}"},
                ]
                for side in "ab"
            },
        }
        for k in range(3)
    ]
    path = tmp_path / "battles.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with fresh_store(tmp_path / "out") as store:
        import_files("lmarena", [path], store)
        export_votes("trl_dpo", tmp_path / "dpo.jsonl", store, kinds=KINDS)
    written = map(json.loads, (tmp_path / "dpo.jsonl").read_text().splitlines())
    assert [row["chosen"][0]["content"] for row in written] == ["a 0", "a 1", "a 2"]
