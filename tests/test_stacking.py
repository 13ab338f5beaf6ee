"""The stack lab over a made-up base: which variants are asked, and what is made of their scores."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from evalcore.errors import InputError
from evalcore.executors import LocalExecutor
from evalcore.protocols import Completion, Finished
from evalcore.records import Adapter, Efficiency, ModelSpec
from evalcore.stacking.records import StackStudy
from evalcore.stacking.study import run_study
from evalcore.stacking.words import summary
from evalcore.stats.coalitions import every_coalition, sampled_coalitions
from evalcore.store import open_store
from evalcore.tasks import load_task
from reports.stacks import heat_map, stack_page

N_EXAMPLES = 40
RIGHT_UP_TO = {"math": 24, "style": -8, "none": 0}
"""How many more of the examples an adapter gets right, by its name."""


class MadeUpRunner:
    """Knows the first so many answers, by its adapters."""

    def __init__(self, spec: ModelSpec, asked: list[str]) -> None:
        self.spec, self.asked = spec, asked
        known = sum(RIGHT_UP_TO.get(a.name, 1) * a.weight for a in spec.adapters)
        self.known = 10 + known + 5 * (spec.weights == "full")

    def generate(self, requests):
        for place, request in enumerate(requests):
            number = int(request.prompt.split()[1])
            self.asked.append(self.spec.name)
            text = "yes" if number < self.known else "no"
            answer = Completion(
                text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, duration_s=0
            )
            yield Finished([(place, answer)], Efficiency())

    def close(self) -> None:
        pass


class Lab:
    """A workspace, a task, and made-up models."""

    def __init__(self, folder) -> None:
        self.folder, self.asked = folder, []
        lines = [{"prompt": f"question {n} ?", "reference": "yes"} for n in range(N_EXAMPLES)]
        grouped = [line | {"group": str(n // 4)} for n, line in enumerate(lines)]
        for name, asked in {"first": lines, "second": lines, "grouped": grouped}.items():
            (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, asked)))
            task = {"name": name, "kind": "generate", "examples": f"{name}.jsonl"}
            task |= {"metrics": ["exact_match"], "generation": {"max_new_tokens": 2}}
            (folder / f"{name}.yaml").write_text(json.dumps(task))

    def tasks(self, *names: str):
        return [load_task(str(self.folder / f"{name}.yaml")) for name in names]

    def open(self, specs: Sequence[ModelSpec]):
        for spec in specs:
            yield MadeUpRunner(spec, self.asked)

    def run(self, study: StackStudy, *tasks: str):
        with open_store(self.folder / "out") as store:
            return run_study(
                study,
                self.tasks(*tasks),
                store,
                executor=LocalExecutor(self.open),
                begin=lambda _label, _total: lambda _count, _cost: None,
            )


def make_study(*names: str, **fields) -> StackStudy:
    adapters = tuple(Adapter(name=name, path=f"/{name}", sha256=name) for name in names)
    return StackStudy(
        **{
            "stack": ModelSpec(name="whole", backend="fake", weights="base", adapters=adapters),
            "design": every_coalition(len(names)),
            "name": lambda some: "+".join(["base", *(f"{a.name}*{a.weight:g}" for a in some)]),
            **fields,
        }
    )


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def test_contributions_are_those_that_the_adapters_were_given(lab):
    (effects,) = lab.run(make_study("math", "style", "none"), "first").tasks
    found = [c.estimate.value * N_EXAMPLES for c in effects.shapley]
    assert found == pytest.approx([24, -8, 0])
    assert effects.gain.estimate.value * N_EXAMPLES == pytest.approx(16)
    assert all(pair.effect.estimate.value == pytest.approx(0.0) for pair in effects.pairs)


def test_every_subset_is_asked_once_and_never_again(lab):
    study = make_study("math", "style", factors=(0.0, 0.5, 1.0))
    first = lab.run(study, "first")
    names = {"base", "base+math*1", "base+style*1", "base+math*1+style*1"}
    names |= {"base+math*0.5+style*1", "base+math*1+style*0.5"}
    assert set(lab.asked) == names
    assert len(lab.asked) == len(names) * N_EXAMPLES
    assert len(first.variants) == len(names)
    lab.asked.clear()
    assert lab.run(study, "first") == first
    assert lab.asked == []


def test_weights_are_compared_with_the_whole_stack(lab):
    (effects,) = lab.run(make_study("math", "style", factors=(0.0, 0.5, 1.0)), "first").tasks
    change = {(w.adapter, w.factor): w.change.estimate.value for w in effects.weights}
    assert change["math", 0.0] == pytest.approx(-effects.leave_one_out[0].estimate.value)
    assert change["math", 0.5] * N_EXAMPLES == pytest.approx(-12)
    assert change["style", 0.5] * N_EXAMPLES == pytest.approx(4)
    assert change["style", 1.0] == 0.0


def test_examples_of_one_group_make_intervals_wider(lab):
    alone, grouped = lab.run(make_study("math", "style"), "first", "grouped").tasks
    narrow, wide = alone.shapley[0].estimate, grouped.shapley[0].estimate
    assert narrow.value == wide.value
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_average_is_over_tasks_and_stands_first(lab):
    report = lab.run(make_study("math", "style"), "first", "second")
    assert report.effects[0] is report.average
    assert report.average.task == "mean over 2 tasks"
    assert report.average.shapley[0].estimate.value * N_EXAMPLES == pytest.approx(24)


def test_p_values_are_adjusted_over_all_pairs_of_all_tasks(lab):
    report = lab.run(make_study("math", "style", "none"), "first", "second")
    pairs = [pair for effects in report.effects for pair in effects.pairs]
    assert len(pairs) == 9
    assert all(pair.adjusted_p_value >= pair.effect.p_value for pair in pairs)


def test_more_than_six_adapters_are_sampled(lab):
    names = [f"a{n}" for n in range(7)]
    design = sampled_coalitions(7, n_permutations=4)
    report = lab.run(make_study(*names, design=design), "first")
    assert len(report.variants) == len(design.coalitions) < 2**7
    assert report.n_orders == 4
    (effects,) = report.tasks
    assert sum(c.estimate.value for c in effects.shapley) == pytest.approx(7 / N_EXAMPLES)


@pytest.mark.parametrize(
    ("adapter", "margin", "verdict"),
    [
        ("math", 0.05, "better"),
        ("math", 0.7, "different (better) and at parity within ±0.7"),
        ("style", 0.05, "worse"),
        ("none", 0.3, "at parity within ±0.3"),
        ("none", 0.05, "not enough examples"),
    ],
)
def test_full_fine_tune_is_tested_for_difference_and_parity(lab, adapter, margin, verdict):
    full = ModelSpec(name="full", backend="fake", weights="full")
    (effects,) = lab.run(make_study(adapter, full=full, margin=margin), "first").tasks
    assert effects.full.difference.value * N_EXAMPLES == pytest.approx(RIGHT_UP_TO[adapter] - 5)
    assert effects.full.difference.confidence_level == pytest.approx(0.9)
    assert effects.full.verdict == verdict


def test_summary_says_what_is_added_and_taken(lab):
    text = summary(lab.run(make_study("math", "style", "none"), "first"))
    assert text.startswith("base+math*1+style*1+none*1, first: math adds 60.0 points (")
    assert "style takes 20.0 points (" in text
    assert "none adds 0.0 points (" in text
    assert text.count("may be chance") == 1


def test_page_shows_hostile_names_as_text_and_a_map_for_each_task(lab):
    report = lab.run(make_study("math", "<script>x</script>"), "first", "second")
    page = stack_page(report)
    assert "<script>" not in page
    assert page.count("<svg") == 3
    assert "http" not in page.replace("http-equiv", "")


def test_heat_map_is_symmetric_with_contributions_on_its_diagonal(lab):
    report = lab.run(make_study("math", "style", "none"), "first")
    drawn = heat_map(report, report.tasks[0])
    assert len(drawn.cells) == 9
    own = [cell.text for cell in drawn.cells if cell.tone == "own"]
    assert own == ["+60.0", "−20.0", "0.0"]
    assert all(0.0 <= cell.x < drawn.width and 0.0 <= cell.y < drawn.height for cell in drawn.cells)


def test_one_adapter_has_no_pairs_and_no_map(lab):
    report = lab.run(make_study("math"), "first")
    assert report.tasks[0].pairs == ()
    assert "<svg" not in stack_page(report)


def test_full_fine_tune_must_be_another_model(lab):
    study = make_study("math")
    with pytest.raises(InputError, match="is a variant of the stack itself"):
        lab.run(replace(study, full=replace(study.stack, adapters=())), "first")
    assert lab.asked == []


def test_adapters_must_have_names_of_their_own(lab):
    with pytest.raises(InputError, match="two adapters are named 'math'"):
        lab.run(
            make_study("math", "math", name=lambda some: "+".join(a.path for a in some)), "first"
        )
