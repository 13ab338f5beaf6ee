import json

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from evalcore.errors import InputError
from evalcore.stats.cli import plan
from evalcore.stats.parity import parity_test
from evalcore.stats.planning import (
    Study,
    VoteModel,
    expected_variance,
    parity_power,
    prompts_needed,
    reachable_margin,
    votes_needed,
)
from evalcore.stats.trinomial import EffectiveCounts
from evalcore.stats.win_rate import PairVotes, win_rate


def simulated(rng, study, votes):
    """Votes of a study with two-point prompt and rater effects of the shares planned for."""
    prompt = np.arange(study.n_votes) % study.n_prompts
    rater = rng.integers(study.n_raters, size=study.n_votes)
    sizes = np.sqrt(np.array([votes.prompt_share, votes.rater_share]) / (1 - votes.tie_share)) / 2
    effect = sizes[0] * rng.choice([-1, 1], study.n_prompts)[prompt]
    effect = effect + sizes[1] * rng.choice([-1, 1], study.n_raters)[rater]
    scores = np.where(rng.random(study.n_votes) < 0.5 + effect, 1.0, 0.0)
    scores[rng.random(study.n_votes) < votes.tie_share] = 0.5
    return PairVotes(scores=scores, raters=rater, examples=prompt)


@pytest.mark.parametrize(
    ("tie_share", "margin", "power", "expected"),
    [
        (0.0, 0.05, 0.8, 856),
        (0.0, 0.05, 0.9, 1082),
        (0.2, 0.05, 0.8, 685),
        (0.2, 0.05, 0.9, 866),
        (0.35, 0.05, 0.8, 557),
        (0.0, 0.03, 0.8, 2379),
        (0.0, 0.02, 0.8, 5352),
        (0.0, 0.10, 0.8, 214),
    ],
)
def test_votes_needed_are_the_formula_and_a_little_for_continuity(
    tie_share, margin, power, expected
):
    """N = (z.95 + z_{1-β/2})² (1 - t) / (4 δ²), Julious (2004)."""
    needed = votes_needed(VoteModel(tie_share=tie_share), margin=margin, power=power)
    assert expected < needed <= 1.03 * expected


def test_planned_power_is_that_of_the_test_on_average_over_neighbouring_numbers():
    """Exact, from the binomial distribution of the wins."""
    needed = votes_needed(VoteModel(), margin=0.1)
    powers = [exact_power(n, margin=0.1) for n in range(needed - 10, needed + 11)]
    assert np.mean(powers) == pytest.approx(0.8, abs=0.005)


def exact_power(n_votes, *, margin):
    wins = np.arange(n_votes + 1)
    counts = [EffectiveCounts(wins=w, ties=0, losses=n_votes - w) for w in wins.tolist()]
    shown = [max(c.p_greater(-2 * margin), c.p_less(2 * margin)) < 0.05 for c in counts]
    return float(stats.binom.pmf(wins, n_votes, 0.5) @ shown)


@pytest.mark.parametrize("tie_share", [0.0, 0.3])
def test_power_of_planned_votes_is_reached_in_simulation(tie_share):
    n_votes = votes_needed(VoteModel(tie_share=tie_share), margin=0.05)
    shares = [(1 - tie_share) / 2, tie_share, (1 - tie_share) / 2]
    rng, shown = np.random.default_rng(21), 0
    for drawn in rng.multinomial(n_votes, shares, size=1000):
        result = win_rate(PairVotes(scores=np.repeat([1.0, 0.5, 0.0], drawn)))
        shown += parity_test(result, margin=0.05).p_parity < 0.05
    assert shown / 1000 == pytest.approx(0.8, abs=0.045)


@pytest.mark.parametrize("n_votes", [400, 1600])
def test_power_with_prompts_and_raters_is_reached_in_simulation(n_votes):
    study, votes = Study(n_votes=n_votes, n_prompts=100, n_raters=40), VoteModel(tie_share=0.2)
    rng = np.random.default_rng(22)
    tests = [parity_test(win_rate(simulated(rng, study, votes)), margin=0.1) for _ in range(400)]
    shown = np.mean([test.p_parity < 0.05 for test in tests])
    assert shown == pytest.approx(parity_power(study, votes, margin=0.1), abs=0.07)


def test_more_votes_on_the_same_prompts_stop_helping():
    margins = [
        reachable_margin(Study(n_votes=n, n_prompts=180, n_raters=100), VoteModel())
        for n in (180, 1800, 18_000)
    ]
    assert margins[0] > 1.5 * margins[1]
    assert margins[1] < 1.15 * margins[2]


def test_variance_has_a_floor_set_by_prompts_and_raters():
    votes = VoteModel(prompt_share=0.2, rater_share=0.1)
    endless = expected_variance(Study(n_votes=10**9, n_prompts=50, n_raters=20), votes)
    assert endless.variance == pytest.approx(0.25 * (0.2 / 50 + 0.1 / 20), rel=1e-6)


def test_eighty_prompts_can_not_show_parity_within_five_points():
    assert votes_needed(VoteModel(), n_prompts=80, n_raters=100) is None


def test_prompts_needed_is_the_least_number_that_suffices():
    needed = prompts_needed(VoteModel(), n_raters=100, votes_per_prompt=3)
    powers = [
        parity_power(Study(n_votes=3 * n, n_prompts=n, n_raters=100), VoteModel())
        for n in (needed - 1, needed)
    ]
    assert powers[0] < 0.8 <= powers[1]


def test_parity_of_a_win_rate_beyond_the_margin_has_no_power():
    assert parity_power(Study(n_votes=10**6), VoteModel(win_rate=0.56)) < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tie_share": 1.0}, r"tie_share must be in \[0, 1\); got 1.0"),
        ({"prompt_share": 0.7, "rater_share": 0.4}, "at most 1; got 0.7 "),
        ({"win_rate": 0.9, "tie_share": 0.5}, "win_rate must be within"),
    ],
)
def test_impossible_vote_models_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        VoteModel(**options)


def run(*arguments):
    app = typer.Typer()
    app.command()(plan)
    return CliRunner().invoke(app, arguments)


def test_plan_prints_the_votes_as_json():
    form = json.loads(run("--margin", "0.05", "--power", "0.8", "--json").stdout)
    assert form["n_votes"] == 872
    assert form["more_votes"][0]["smallest_margin"] == pytest.approx(0.05, abs=1e-4)


def test_plan_says_when_no_number_of_votes_is_enough():
    output = run("--prompts", "80", "--raters", "100").stdout
    assert "no number of votes is enough with 80 prompts, 100 raters" in output


def test_study_without_votes_is_refused():
    with pytest.raises(InputError, match="at least one vote"):
        parity_power(Study(n_votes=0), VoteModel())
