import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.errors import InputError
from evalcore.stats.parity import Verdict
from evalcore.stats.sequential import (
    StoppingRule,
    asymptotic_sequence,
    beta_binomial_sequence,
    empirical_bernstein_sequence,
    first_decision,
)

SEQUENCES = [asymptotic_sequence, empirical_bernstein_sequence, beta_binomial_sequence]
scores = st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=80)


def studies(rng, n_studies, n_votes, *, win=0.4, tie=0.2):
    shares = [1 - win - tie, tie, win]
    return rng.choice([0.0, 0.5, 1.0], p=shares, size=(n_studies, n_votes))


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_looking_after_every_vote_seldom_rejects_true_parity(sequence):
    votes = studies(np.random.default_rng(15), 200, 1500)
    rejected = [np.any((s.low > 0.5) | (s.high < 0.5)) for s in map(sequence, votes)]
    assert np.mean(rejected) <= 0.05


@pytest.mark.parametrize("sequence", SEQUENCES)
@given(scores)
def test_sequences_never_have_zero_width_and_mirror(sequence, observed):
    forth, back = sequence(observed), sequence([1.0 - score for score in observed])
    assert np.all(forth.high - forth.low > 1e-6) or sequence is not asymptotic_sequence
    assert np.allclose(forth.low, 1.0 - back.high, atol=1e-9)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_later_votes_do_not_change_earlier_intervals(sequence):
    votes = studies(np.random.default_rng(16), 1, 300)[0]
    assert np.array_equal(sequence(votes).low[:200], sequence(votes[:200]).low)


def test_beta_binomial_sequence_leaves_out_what_the_mixture_outweighs():
    sequence = beta_binomial_sequence([1.0] * 30, prior=1.0)
    # B(31, 1) / B(1, 1) = 1/31, so that π^30 = 0.05/31 at the lower end.
    assert sequence.low[-1] == pytest.approx((0.05 / 31) ** (1 / 30), rel=1e-6)
    assert sequence.high[-1] == 1.0


def test_beta_binomial_sequence_ignores_ties():
    with_ties = beta_binomial_sequence([1.0, 0.5, 0.0, 0.5, 1.0])
    assert with_ties.low[-1] == beta_binomial_sequence([1.0, 0.0, 1.0]).low[-1]


def test_asymptotic_sequence_is_narrowest_compared_to_fixed_n_where_tuned():
    votes = studies(np.random.default_rng(17), 1, 4000)[0]
    at_1000 = [asymptotic_sequence(votes, tuned_for=n).high[999] for n in (100, 1000, 10_000)]
    assert np.argmin(at_1000) == 1


def test_design_effect_widens_the_sequence_by_its_root():
    votes = studies(np.random.default_rng(18), 1, 1000)[0]
    plain, wide = asymptotic_sequence(votes), asymptotic_sequence(votes, design_effect=4.0)
    ratio = (wide.high - wide.low)[-1] / (plain.high - plain.low)[-1]
    assert ratio == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize(
    ("win", "verdict"), [(0.6, Verdict.BETTER), (0.2, Verdict.WORSE), (0.4, Verdict.PARITY)]
)
def test_stopping_rule_reaches_the_right_verdict(win, verdict):
    votes = studies(np.random.default_rng(19), 1, 6000, win=win)[0]
    decision = first_decision(votes, StoppingRule(margin=0.05))
    assert decision.verdict is verdict
    assert first_decision(votes[: decision.n - 1], StoppingRule()).verdict == "not enough votes"
    assert first_decision(votes[: decision.n], StoppingRule()) == decision


def test_stopping_rule_can_wait_for_a_difference_beyond_the_margin():
    votes = studies(np.random.default_rng(20), 1, 3000, win=0.5)[0]
    early = first_decision(votes, StoppingRule())
    late = first_decision(votes, StoppingRule(stop_at_difference=False))
    assert early.verdict is late.verdict is Verdict.BETTER
    assert early.low < 0.55 < late.low


def test_stopping_rule_without_votes_goes_on():
    decision = first_decision([], StoppingRule())
    assert (decision.verdict, decision.n) == (Verdict.NOT_ENOUGH_VOTES, 0)


def test_empirical_bernstein_refuses_a_design_effect():
    rule = StoppingRule(method="empirical_bernstein", design_effect=2.0)
    with pytest.raises(InputError, match="design_effect must be 1"):
        first_decision([1.0], rule)


def test_scores_outside_their_range_are_refused():
    with pytest.raises(InputError, match="scores must lie between 0 and 1"):
        asymptotic_sequence([2.0])
