"""``parity judge --reuse-from`` and ``parity judge report``: from foreign files to a page."""

import json
import shutil
from dataclasses import replace

import pytest

from evalcore.judges.bias.evidence import gather, judges_of
from evalcore.judges.bias.report import bias_report
from evalcore.judges.foreign import read_foreign
from evalcore.judges.foreign.importing import import_verdicts
from evalcore.records import ModelSpec
from evalcore.store import Store, open_store


@pytest.fixture(scope="module")
def reused(shared_data, tmp_path_factory):
    """A workspace with GPT-4's verdicts and people's votes of MT-bench, and a Vicuna review."""
    folder = tmp_path_factory.mktemp("judges")
    files = (
        "mtbench_human/gpt4_pair",
        "mtbench_human/human",
        "vicuna/review/review_gpt35_vicuna-13b",
    )
    with open_store(folder) as store:
        for name in files:
            import_verdicts(read_foreign("fastchat", shared_data / f"{name}.jsonl"), store)
    return folder


def test_mt_bench_agreement_as_published(reused, parity):
    """Turn 1: experts agree with GPT-4 in 66 % of votes, 85 % without ties; 63 and 81 % with
    each other (Zheng et al., 2306.05685, table 5)."""
    options = ("-j", "gpt4_pair", "--people", "expert_", "--json")
    code, out, _ = parity("judge", "report", "-w", reused, *options)
    agreement = json.loads(out)["judges"][0]["agreement"]
    judge, people = agreement["with_people"], agreement["between_people"]
    assert code == 0
    assert judge["share"]["value"] == pytest.approx(886 / 1343, abs=1e-9)
    assert judge["share_decided"]["value"] == pytest.approx(727 / 859, abs=1e-9)
    assert people["share"]["value"] == pytest.approx(454 / 721, abs=1e-9)
    assert people["share_decided"]["value"] == pytest.approx(388 / 479, abs=1e-9)
    assert judge["share"]["low"] < 0.66 < judge["share"]["high"]


def test_votes_of_studies_under_way_count_when_asked_for(reused, parity, monkeypatch):
    """As on boards: otherwise the report would tell what raters of a study are not to know."""

    def n_votes(*options: str) -> int:
        _, out, _ = parity("judge", "report", "-w", reused, "-j", "gpt4_pair", *options, "--json")
        found = json.loads(out)["judges"][0]["agreement"]
        return found["with_people"]["share"]["n"] if found else 0

    everything = n_votes()
    with open_store(reused) as store:
        examples = sorted({vote.example_id for vote in store.comparisons(kinds=["human"])})
    monkeypatch.setattr(Store, "hidden_examples", lambda _store: frozenset(examples[::2]))
    assert 0 < n_votes() < everything
    assert n_votes("--under-way") == everything


def test_mt_bench_orders_and_own_answers(reused):
    """188 of 1,200 orders disagree; GPT-4 gives itself about 10 points more than people do."""
    with open_store(reused) as store:
        report = bias_report(gather(store, "gpt4_pair", own=["gpt-4"]))
    share = report.consistency.share
    assert (report.consistency.n_merged, round((1 - share.value) * share.n)) == (1200, 188)
    assert report.self_preference.effect.value == pytest.approx(0.10, abs=0.005)
    assert report.self_preference.effect.low > 0.03
    assert report.self_preference.compared_with == "people"


def test_humans_and_judge_are_fused(reused):
    with open_store(reused) as store:
        report = bias_report(gather(store, "gpt4_pair"))
    assert len(report.contests) == 15
    for contest in report.contests:
        assert contest.fused.low < contest.people.value < contest.fused.high
    narrower = [c.fused.high - c.fused.low < c.people.high - c.people.low for c in report.contests]
    assert sum(narrower) >= 12


def test_alpaca_eval_favours_the_second_place_and_flags_the_null_model(shared_data, tmp_path):
    """Biases are those that the other models show: NullModel's answers say nothing of taste."""
    foreign = read_foreign("alpaca_eval", shared_data / "alpaca_eval/ae2_full_rows.parquet")
    chosen = {"NullModel", "gpt-3.5-turbo-0301", "vicuna-13b"}
    some = tuple(verdict for verdict in foreign.verdicts if verdict.model_b in chosen)
    with open_store(tmp_path) as store:
        import_verdicts(replace(foreign, verdicts=some), store)
        report = bias_report(gather(store, "weighted_alpaca_eval_gpt4_turbo"))
    assert (report.n_verdicts, report.flagged) == (3 * 805, ("NullModel",))
    assert report.position.n == 2 * 805 - 3
    assert -0.07 < report.position.value < report.position.high < 0
    assert report.longer_wins.judge.low > 0.8
    contests = {contest.model: contest for contest in report.contests}
    assert contests["vicuna-13b"].opponent == "gpt4_1106_preview"
    for name, published, at_equal_length in (
        ("gpt-3.5-turbo-0301", 0.0962, 0.25),
        ("vicuna-13b", 0.0583, 0.10),
    ):
        assert contests[name].judge.value == pytest.approx(published, abs=1e-4)
        assert contests[name].at_equal_length.value > at_equal_length
        assert contests[name].shown_first.value < published < contests[name].shown_second.value


def test_report_in_words_warns_of_one_order(reused, parity):
    code, out, err = parity("judge", "report", "-w", reused, "-j", "gpt-4-0328")
    assert code == 0
    assert "only one order was judged" in out
    assert "one order only: gpt-3.5-turbo:20230327 was shown first" in err
    assert "no votes of people" in err


def test_report_as_a_page(reused, parity, tmp_path):
    page = tmp_path / "judges.html"
    assert parity("judge", "report", "-w", reused, "-o", page)[0] == 0
    text = page.read_text()
    assert "gpt4_pair" in text
    assert "66.6 % (63.8 to 69.3)" in text
    assert "http" not in text.replace("http-equiv", "")


def test_hostile_names_stay_text_on_the_page(tmp_path, parity):
    rows = [
        {"judge": "<script>alert(1)</script>", "model_a": "<b>x", "model_b": "y", "winner": "tie"}
        | {"question_id": number}
        for number in range(3)
    ]
    file, page = tmp_path / "votes.jsonl", tmp_path / "judges.html"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert parity("judge", "--reuse-from", "fastchat", file, "-w", tmp_path)[0] == 0
    assert parity("judge", "report", "-w", tmp_path, "-o", page)[0] == 0
    text = page.read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "<b>x" not in text


def test_reuse_says_what_came_of_a_file(shared_data, tmp_path, parity):
    file = shared_data / "pandalm/gpt-3.5-turbo-testset-v1.json"
    code, out, err = parity("judge", "--reuse-from", "pandalm", file, "-w", tmp_path)
    assert code == 0
    assert "974 comparisons of 999 verdicts" in out
    assert "25 of 999 verdicts could not be read" in err
    code, out, _ = parity("judge", "--reuse-from", "pandalm", file, "-w", tmp_path, "--json")
    assert json.loads(out)["imported"]["n_unscored"] == 25
    with open_store(tmp_path) as store:
        assert judges_of(store) == ["gpt-3.5-turbo"]
        assert len(list(store.comparisons())) == 974


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--judge", "nobody"], "judge must be one that has compared answers, gpt-4-0328, gpt4_"),
        (["-j", "gpt4_pair", "--own", "x"], "--own must be a model that was judged, alpaca-13b"),
        (["--own", "gpt-4"], "--own needs one --judge; got gpt-4-0328, gpt4_pair"),
        (["--level", "2"], "level must lie between 0 and 1"),
    ],
)
def test_wrong_questions_are_refused_in_one_line(reused, parity, arguments, message):
    code, _, err = parity("judge", "report", "-w", reused, *arguments)
    assert code == 2
    assert err.startswith("parity: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_workspace_without_judges_says_how_to_get_them(tmp_path, parity):
    open_store(tmp_path).close()
    code, _, err = parity("judge", "report", "-w", tmp_path)
    assert code == 2
    assert "no comparisons by a judge yet" in err


def test_a_missing_file_is_named(tmp_path, parity):
    code, _, err = parity("judge", "--reuse-from", "alpaca_eval", "none.json", "-w", tmp_path)
    assert code == 2
    assert "none.json: no such file" in err


def test_the_leaderboards_report_has_a_section_on_judges(reused, tmp_path, add_results, parity):
    shutil.copytree(reused, tmp_path / "out")
    with open_store(tmp_path / "out") as store:
        for name in ("a", "b"):
            spec = ModelSpec(name=name, backend="hf", weights=name, sha256=name)
            add_results(store, spec, "sums", [1.0] * 20)
    assert parity("report", "-w", tmp_path / "out")[0] == 0
    text = (tmp_path / "out" / "report.html").read_text()
    assert "How far the judges can be believed" in text
    assert "gpt-4-0328" in text
