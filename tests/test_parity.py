import json

import numpy as np
import pandas as pd
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from evalcore.errors import InputError
from evalcore.stats.cli import compare
from evalcore.stats.comparison import CompareRequest, compare_models
from evalcore.stats.parity import Verdict, parity_test
from evalcore.stats.win_rate import PairVotes, win_rate
from evalcore.votes import Votes

counts = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))


def parity_of(wins, ties, losses, **options):
    scores = np.repeat([1.0, 0.5, 0.0], [wins, ties, losses])
    return parity_test(win_rate(PairVotes(scores=scores)), **options)


def test_open_assistant_is_different_and_at_parity():
    """48.3 % of 7,042 (Open Assistant, 2304.07327): p = .0043, TOST ±5 p = 1.5e-8, least 2.69."""
    test = parity_of(3401, 0, 3641)
    assert test.p_difference == pytest.approx(0.0043, abs=1e-4)
    assert test.p_parity == pytest.approx(1.45e-8, rel=0.05)
    assert test.smallest_margin == pytest.approx(0.0269, abs=5e-5)
    assert test.words == "different (worse) and at parity within ±0.05"


@pytest.mark.parametrize(
    ("votes", "verdict"),
    [
        ((700, 0, 300), Verdict.BETTER),
        ((300, 0, 700), Verdict.WORSE),
        ((1000, 500, 1000), Verdict.PARITY),
        ((40, 0, 40), Verdict.NOT_ENOUGH_VOTES),
        ((0, 0, 0), Verdict.NOT_ENOUGH_VOTES),
        ((0, 5, 0), Verdict.NOT_ENOUGH_VOTES),
        ((2700, 0, 2500), Verdict.BETTER_AND_PARITY),
    ],
)
def test_verdict_follows_both_tests(votes, verdict):
    assert parity_of(*votes).verdict is verdict


def test_missing_difference_is_no_parity():
    test = parity_of(90, 0, 90)
    assert test.p_difference == 1.0
    assert test.verdict is Verdict.NOT_ENOUGH_VOTES


@given(counts)
def test_smallest_margin_is_where_parity_begins(votes):
    least = parity_of(*votes).smallest_margin
    if 0.01 < least < 0.48:
        assert parity_of(*votes, margin=least * 1.001 + 1e-5).p_parity < 0.05
        assert parity_of(*votes, margin=least * 0.999 - 1e-5).p_parity > 0.05


@given(counts)
def test_parity_does_not_depend_on_the_order_of_models(votes):
    forth, back = parity_of(*votes), parity_of(*votes[::-1])
    assert forth.p_parity == pytest.approx(back.p_parity)
    assert forth.smallest_margin == pytest.approx(back.smallest_margin, abs=1e-6)


@given(counts)
def test_noninferiority_never_needs_more_than_parity(votes):
    assert parity_of(*votes).p_noninferior <= parity_of(*votes).p_parity


@pytest.mark.parametrize("margin", [0.0, 0.5, -1.0])
def test_margin_outside_its_range_is_named(margin):
    with pytest.raises(InputError, match=f"margin must lie between 0 and 0.5; got {margin}"):
        parity_of(1, 1, 1, margin=margin)


@pytest.mark.parametrize(
    ("n", "margin", "tie_share"), [(100, 0.1, 0.0), (400, 0.05, 0.4), (857, 0.05, 0.0)]
)
def test_parity_is_claimed_at_the_margin_with_at_most_its_level(n, margin, tie_share):
    win = 0.5 + margin - tie_share / 2
    shares = [win, tie_share, 1 - tie_share - win]
    rng = np.random.default_rng(14)
    drawn, times = np.unique(rng.multinomial(n, shares, size=2000), axis=0, return_counts=True)
    claimed = [parity_of(*votes, margin=margin).p_parity < 0.05 for votes in drawn]
    assert np.dot(claimed, times) / 2000 <= 0.06


@pytest.mark.parametrize(("n", "margin"), [(31, 0.25), (100, 0.15), (300, 0.1)])
def test_size_at_the_margin_without_ties_is_exactly_at_most_the_level(n, margin):
    claimed = [parity_of(k, 0, n - k, margin=margin).p_parity < 0.05 for k in range(n + 1)]
    assert stats.binom.pmf(range(n + 1), n, 0.5 + margin) @ claimed <= 0.05


@pytest.fixture
def votes_file(tmp_path):
    """Write 40 wins, 10 ties and 50 losses of x against y, by five raters."""
    path = tmp_path / "votes.csv"
    winners = ["model_a"] * 40 + ["both_bad"] * 10 + ["model_b"] * 50
    lines = [f"x,y,{winner},r{i % 5},human" for i, winner in enumerate(winners)]
    lines.append("x,y,model_a,bot,simulated")
    path.write_text("model_a,model_b,winner,rater,rater_kind\n" + "\n".join(lines) + "\n")
    return path


def run(*arguments):
    app = typer.Typer()
    app.command()(compare)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_compare_prints_the_documented_keys(votes_file):
    form = json.loads(run("x", "y", votes_file, "--margin", "0.2", "--json").stdout)
    assert list(form) == [
        *["model_a", "model_b", "n", "wins", "ties", "losses", "win_rate", "low", "high"],
        *["p_difference", "p_parity", "margin", "smallest_margin", "method", "verdict"],
    ]
    assert (form["n"], form["wins"], form["ties"], form["losses"]) == (100, 40, 10, 50)
    assert form["verdict"] == "at parity within ±0.2"


def test_compare_says_that_simulated_votes_are_left_out(votes_file):
    result = run("x", "y", votes_file)
    assert "votes left out: 1 by simulated raters" in result.stderr
    assert "100: 40 won, 10 tied, 50 lost" in result.stdout


def test_compare_counts_only_the_raters_asked_for(votes_file):
    form = json.loads(run("y", "x", votes_file, "--raters", "simulated", "--json").stdout)
    assert (form["n"], form["losses"], form["verdict"]) == (1, 1, "not enough votes")


def test_compare_with_an_unknown_kind_of_rater_names_the_known_ones(votes_file):
    error = run("x", "y", votes_file, "--raters", "robot").exception
    assert str(error) == "--raters must be one of human, judge, rule, simulated; got 'robot'"


def running_study(tmp_path, winners, **columns):
    path = tmp_path / "running.csv"
    rows = {"model_a": "x", "model_b": "y", "winner": winners, **columns}
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_bayes_adds_a_posterior_to_the_same_tests(votes_file):
    plain = json.loads(run("x", "y", votes_file, "--json").stdout)
    form = json.loads(run("x", "y", votes_file, "--json", "--method", "bayes").stdout)
    posterior = form.pop("posterior")
    assert list(form) == list(plain)
    assert form["verdict"] == plain["verdict"]
    assert form["method"] == "posterior, Jeffreys prior"
    assert form["low"] == pytest.approx(plain["low"], abs=0.02)
    assert posterior["p_better"] == pytest.approx(plain["p_difference"] / 2, abs=0.08)


def test_anytime_stops_at_the_first_decision_and_has_no_p_values(tmp_path):
    path = running_study(tmp_path, ["model_a"] * 200)
    form = json.loads(run("x", "y", path, "--json", "--method", "anytime").stdout)
    assert form["verdict"] == "better"
    assert form["n"] == form["wins"] < 200
    assert form["low"] > 0.5
    assert (form["p_difference"], form["p_parity"]) == (None, None)
    assert form["method"].endswith(f"first {form['n']} of 200 votes")


def test_anytime_takes_votes_in_the_order_of_their_times(tmp_path):
    winners = ["model_a"] * 100 + ["model_b"] * 100
    path = running_study(tmp_path, winners, created_utc=range(200, 0, -1))
    form = json.loads(run("x", "y", path, "--json", "--method", "anytime").stdout)
    assert form["verdict"] == "worse"


def test_anytime_needs_more_votes_where_prompts_recur(tmp_path):
    winners = ["model_a", "model_a", "model_a", "model_b"] * 100
    alone = running_study(tmp_path, winners)
    first = json.loads(run("x", "y", alone, "--json", "--method", "anytime").stdout)
    grouped = running_study(tmp_path, winners, example_id=[i % 20 for i in range(400)])
    second = json.loads(run("x", "y", grouped, "--json", "--method", "anytime").stdout)
    assert first["n"] < second["n"]
    assert "variance times" in second["method"]


def test_bernstein_refuses_votes_that_depend_on_each_other(tmp_path):
    winners = ["model_a", "model_a", "model_a", "model_b"] * 100
    path = running_study(tmp_path, winners, example_id=[i % 20 for i in range(400)])
    error = run("x", "y", path, "--method", "anytime-bernstein").exception
    assert str(error).startswith("anytime-bernstein needs independent votes")


def test_unknown_method_of_comparison_names_the_known_ones(votes_file):
    error = run("x", "y", votes_file, "--method", "magic").exception
    known = "score, bayes, anytime, anytime-bernstein"
    assert str(error) == f"method must be one of {known}; got 'magic'"


def test_equal_votes_on_two_prompts_decide_nothing_while_a_study_runs():
    columns = {"model_a": ["x"] * 80, "model_b": ["y"] * 80, "winner": ["model_a"] * 80}
    votes = Votes.from_columns({**columns, "example_id": ["e1", "e2"] * 40})
    report = compare_models(votes, ("x", "y"), CompareRequest(method="anytime"))
    assert report.form["verdict"] == "not enough votes"
    with pytest.raises(InputError, match="anytime-bernstein needs independent votes"):
        compare_models(votes, ("x", "y"), CompareRequest(method="anytime-bernstein"))
