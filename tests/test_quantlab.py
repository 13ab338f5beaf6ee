"""The quantisation lab over made-up models, against brute force."""

import json
import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from evalcore.codec import to_json
from evalcore.energy import NOT_TOLD, EnergyMeter, energy_meter
from evalcore.errors import InputError
from evalcore.executors import LocalExecutor
from evalcore.protocols import Completion, Distributions, Finished
from evalcore.quantlab.keeping import kept_reports
from evalcore.quantlab.records import QuantCheck
from evalcore.quantlab.study import run_check
from evalcore.quantlab.summing import dominated
from evalcore.quantlab.texts import texts_of
from evalcore.quantlab.words import findings, summary
from evalcore.records import Efficiency, ModelSpec
from evalcore.stats.divergence import kl_divergences, same_top
from evalcore.stats.equivalence import equivalence
from evalcore.store import open_store
from evalcore.tasks import load_task
from reports.figures.quantised import quantised_figure
from reports.quantisation import quantisation_page

N_EXAMPLES, N_VOCABULARY = 40, 7
FORMS = {"fp32": (40, 0.0, 4e6), "half": (39, 0.01, 2e6), "tiny": (20, 1.0, 1e6)}
"""By name: how many answers are right, how far its logits are off, and its bytes."""


def distributions(text: str, error: float) -> Distributions:
    """What a form thinks of a text, one token a word."""
    n = len(text.split())
    generator = np.random.default_rng(len(text))
    logits = generator.normal(size=(n, N_VOCABULARY))
    logits = logits + error * generator.normal(size=logits.shape)
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Distributions(tokens=tuple(range(n)), logprobs=logprobs.astype(np.float32))


class MadeUpRunner:
    def __init__(self, spec: ModelSpec, asked: list[str]) -> None:
        self.spec, self.asked = spec, asked
        self.right, self.error, self.weights_bytes = FORMS[spec.weights]

    def generate(self, requests):
        took = Efficiency(
            prefill_tokens=9, prefill_s=1.0, decode_tokens=9, decode_s=3.0, size_on_disk_bytes=8
        )
        for place, request in enumerate(requests):
            words = request.prompt.split()
            number = int(words[1]) if words[1:] and words[-1] == "?" else -1
            self.asked.append(f"{self.spec.name} answers {number}")
            text = "yes" if number < self.right else "no"
            answer = Completion(
                text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, duration_s=0
            )
            yield Finished([(place, answer)], took)

    def distributions(self, texts, *, max_tokens):
        for text in texts:
            self.asked.append(f"{self.spec.name} reads")
            found = distributions(text, self.error)
            if "odd" in text and self.error:
                found = replace(found, tokens=(*found.tokens[1:], 0))
            yield found

    def close(self) -> None:
        pass


class Lab:
    def __init__(self, folder) -> None:
        self.folder, self.asked, self.opened = folder, [], []
        lines = [{"prompt": f"question {n} ?", "reference": "yes"} for n in range(N_EXAMPLES)]
        (folder / "task.jsonl").write_text("\n".join(map(json.dumps, lines)))
        task = {"name": "task", "kind": "generate", "examples": "task.jsonl"}
        task |= {"metrics": ["exact_match"], "generation": {"max_new_tokens": 2}}
        (folder / "task.yaml").write_text(json.dumps(task))
        self.tasks = [load_task(str(folder / "task.yaml"))]
        specs = {name: ModelSpec(name=name, backend="fake", weights=name) for name in FORMS}
        self.check = QuantCheck(
            reference=specs["fp32"],
            forms=(specs["half"], specs["tiny"]),
            labels=("half", "tiny"),
            texts=texts_of(self.tasks, [], n_texts=10),
            n_rounds=2,
        )

    @contextmanager
    def open(self, specs):
        self.opened.append([spec.name for spec in specs])
        yield [MadeUpRunner(spec, self.asked) for spec in specs]

    def run(self, check=None, *, together=True, energy=None, executor=None):
        check = check or self.check
        with open_store(self.folder / "out") as store:
            return run_check(
                check,
                self.tasks,
                store,
                groups=[check.specs] if together else [[spec] for spec in check.specs],
                open_together=self.open,
                energy=energy or EnergyMeter(NOT_TOLD, None),
                begin=lambda _label, _total: lambda _count, _cost: None,
                executor=executor,
            )


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


@pytest.mark.parametrize("together", [True, False])
def test_divergence_is_that_of_all_tokens_by_brute_force(lab, together):
    report = lab.run(together=together)
    texts = [example.messages[0].content for example in lab.check.texts]
    for form in report.forms:
        error = FORMS[form.name][1]
        terms, tops = [], []
        for text in texts:
            p, q = (np.exp(distributions(text, e).logprobs.astype(float)) for e in (0.0, error))
            for row_p, row_q in zip(p, q, strict=True):
                terms.append(sum(a * math.log(a / b) for a, b in zip(row_p, row_q, strict=True)))
                tops.append(row_p.argmax() == row_q.argmax())
        assert form.kl.value == pytest.approx(np.mean(terms), abs=1e-6)
        assert form.same_top.value == pytest.approx(np.mean(tops))
        assert form.kl.low <= form.kl.value <= form.kl.high
    assert report.n_tokens == len(terms)
    assert report.is_interleaved is together


def test_flips_scores_and_verdicts_are_paired_with_the_reference(lab):
    reference, half, tiny = lab.run().forms
    assert [form.tasks[0].score.value for form in (reference, half, tiny)] == [1.0, 39 / 40, 0.5]
    assert (half.tasks[0].n_worse, half.tasks[0].n_better) == (1, 0)
    assert (tiny.tasks[0].n_worse, tiny.tasks[0].n_changed) == (20, 20)
    assert tiny.tasks[0].difference.value == pytest.approx(-0.5)
    assert tiny.tasks[0].p_value == pytest.approx(2 * 0.5**20)
    assert tiny.tasks[0].test == "McNemar, exact"
    assert tiny.tasks[0].verdict == "worse"
    assert reference.tasks[0].difference.value == 0.0


def test_everything_is_measured_once_and_the_rest_resumed(lab):
    first = lab.run()
    assert lab.opened == [["fp32", "half", "tiny"]]
    answered = [asked for asked in lab.asked if "answers" in asked and "-1" not in asked]
    assert len(answered) == len(set(answered)) == 3 * N_EXAMPLES
    lab.asked.clear()
    assert lab.run() == first
    assert lab.asked == []
    more = replace(lab.check, forms=lab.check.forms[:1], labels=("half",), n_rounds=3)
    lab.run(more)
    assert not [asked for asked in lab.asked if "reads" in asked]


def test_executor_answers_the_tasks_and_the_rest_is_measured_here(lab, tmp_path):
    elsewhere: list[str] = []
    runners = (MadeUpRunner(spec, elsewhere) for spec in lab.check.specs)
    report = lab.run(executor=LocalExecutor(lambda _specs: runners))
    answered = [asked for asked in elsewhere if "answers" in asked]
    assert len(elsewhere) == len(answered) == 3 * N_EXAMPLES
    assert not [asked for asked in lab.asked if "answers" in asked and "-1" not in asked]
    assert len([asked for asked in lab.asked if "reads" in asked]) == 3 * 10
    (tmp_path / "other").mkdir()
    assert Lab(tmp_path / "other").run() == report


def test_report_is_kept_and_replaced_by_its_equal(lab):
    found = [lab.run(), lab.run(), lab.run(replace(lab.check, margin=0.2))]
    with open_store(lab.folder / "out") as store:
        kept = kept_reports(store)
    assert to_json(kept) == to_json([found[0], found[2]])  # nan is not itself
    assert kept[0].forms[1].kl == found[0].forms[1].kl


def test_report_and_site_show_what_was_found(lab, parity):
    report = lab.run()
    where, page = lab.folder / "out", lab.folder / "report.html"
    assert parity("report", "-w", where, "-o", page)[0] == 0
    assert parity("report", "-w", where, "--site", lab.folder / "site")[0] == 0
    for text in (page.read_text(), (lab.folder / "site" / "index.html").read_text()):
        assert 'id="quantised-forms"' in text
        assert 'id="figure-divergence-memory-1"' in text
        assert all(f"{finding}." in text for finding in findings(report))


def test_check_that_was_interrupted_reads_only_what_is_missing(lab, monkeypatch):
    def stop(self, texts, *, max_tokens):
        if self.spec.name == "tiny":
            raise KeyboardInterrupt
        yield from MadeUpRunner_distributions(self, texts, max_tokens=max_tokens)

    MadeUpRunner_distributions = MadeUpRunner.distributions
    monkeypatch.setattr(MadeUpRunner, "distributions", stop)
    with pytest.raises(KeyboardInterrupt):
        lab.run(together=False)
    monkeypatch.undo()
    lab.asked.clear()
    lab.run(together=False)
    assert lab.asked.count("fp32 reads") == lab.asked.count("tiny reads") == 10
    assert "half reads" not in lab.asked


def test_texts_of_other_tokens_are_unscored_and_counted(lab, tmp_path):
    (tmp_path / "texts.txt").write_text("question 1 is even\nquestion 2 is odd\nquestion 3 is it\n")
    texts = texts_of(lab.tasks, [tmp_path / "texts.txt"], n_texts=9)
    _, half, _ = lab.run(replace(lab.check, texts=texts)).forms
    assert (half.kl.n, half.kl.n_unscored) == (2, 1)


def test_speed_energy_and_size_are_told(lab):
    readings = iter(range(1000))
    report = lab.run(energy=EnergyMeter("a made-up counter", lambda: 36.0 * next(readings)))
    speed = report.forms[1].speed
    assert speed.prefill_tokens_per_s.value == 9.0
    assert speed.decode_tokens_per_s.value == 3.0
    assert speed.joules_per_token.value == 2.0
    assert (report.forms[1].weights_bytes, report.forms[1].disk_bytes) == (2e6, 8)
    assert report.energy == "a made-up counter"


def test_form_that_another_beats_in_both_is_marked():
    assert dominated([4, 2, 1, 2], [0, 0.1, 0.5, 0.2]) == [False, False, False, True]
    assert dominated([1, 1], [0.5, 0.5]) == [False, False]
    assert dominated([1, math.nan], [0.5, 0.1]) == [False, False]


def test_page_and_figure_show_every_form(lab):
    report = lab.run()
    page = quantisation_page(report)
    assert page.count("<svg") == 1
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert [row["form"] for row in quantised_figure(report).rows] == ["half", "tiny"]
    assert "tiny: 25% of the memory, KL " in summary(report)


def test_check_without_texts_or_forms_is_refused(lab, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(InputError, match="at least one form, one task and one text"):
        lab.run(replace(lab.check, forms=(), labels=()))


def test_divergence_has_its_limits():
    p = np.log(
        np.array([[1.0, 0.0], [0.5, 0.5]]) + 0.0,
        where=np.array([[1, 0], [1, 1]]) > 0,
        out=np.full((2, 2), -np.inf),
    )
    assert kl_divergences(p, p).tolist() == [0.0, 0.0]
    assert kl_divergences(p[1:], p[:1]).tolist() == [math.inf]
    assert same_top(p, p[::-1]).tolist() == [True, True]
    with pytest.raises(InputError, match="of one shape"):
        kl_divergences(p, p[:1])


def test_difference_and_parity_can_both_be_shown():
    first = np.r_[np.ones(990), np.zeros(10)]
    found = equivalence(first, np.ones(1000), margin=0.05)
    assert found.verdict == "different (worse) and at parity within ±0.05"
    assert found.smallest_margin < 0.05
    few = equivalence([1.0, 0.0], [1.0, 0.0], margin=0.05)
    assert few.verdict == "not enough examples"


def make_zone(folder, name: str, joules: float) -> None:
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(str(int(joules * 1e6)))
    (folder / "max_energy_range_uj").write_text(str(100_000_000))


def test_rapl_sums_packages_and_survives_a_counter_that_begins_anew(tmp_path):
    make_zone(tmp_path / "intel-rapl:0", "package-0", 90)
    make_zone(tmp_path / "intel-rapl:1", "package-1", 5)
    make_zone(tmp_path / "intel-rapl:0:0", "core", 50)
    make_zone(tmp_path / "intel-rapl:2", "psys", 70)
    meter = energy_meter(tmp_path)
    before = meter.now()
    assert meter.source == "RAPL, 2 packages"
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text(str(20_000_000))
    assert meter.since(before) == pytest.approx(30)


def test_machine_that_tells_no_energy_says_so(tmp_path):
    meter = energy_meter(tmp_path / "nothing")
    assert meter.source == NOT_TOLD
    assert meter.since(meter.now()) is None
