import numpy as np
import pytest

from evalcore.errors import InputError
from evalcore.stats.counts import Counts
from evalcore.stats.pairing import PairingPolicy, next_battles, top_set

CAP = 10_000


def no_votes(n_models: int) -> Counts:
    none = np.zeros((n_models, n_models))
    names = tuple(f"m{i:02}" for i in range(n_models))
    return Counts(models=names, wins=none, ties=none, win_squares=none, tie_squares=none)


def vote(counts: Counts, a: np.ndarray, b: np.ndarray, truth: np.ndarray, rng) -> Counts:
    won = rng.random(len(a)) < 1 / (1 + np.exp(truth[b] - truth[a]))
    wins = counts.wins.copy()
    np.add.at(wins, (np.where(won, a, b), np.where(won, b, a)), 1)
    return Counts(
        models=counts.models,
        wins=wins,
        ties=counts.ties,
        win_squares=wins,
        tie_squares=counts.ties,
    )


def votes_to_settle(seed: int, *, active: bool, n_models: int = 10, k: int = 3) -> tuple[int, bool]:
    """Votes until the top k are settled, at most CAP, and whether they are the right ones."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 0.8, n_models)
    counts, n_votes = no_votes(n_models), 0
    while n_votes < CAP:
        step = max(20, n_votes // 50)
        if active:
            battles = next_battles(counts, PairingPolicy(top_k=k), n=step, rng=rng)
            pairs = np.array([[counts.models.index(m) for m in battle] for battle in battles])
        else:
            a = rng.integers(0, n_models, step)
            pairs = np.column_stack([a, (a + rng.integers(1, n_models, step)) % n_models])
        counts = vote(counts, *pairs.T, truth, rng)
        n_votes += step
        top = top_set(counts, k)
        if top.settled:
            best = {counts.models[i] for i in np.argsort(-truth)[:k]}
            return n_votes, set(top.models) == best
    return CAP, False


def test_active_pairing_takes_far_fewer_votes_than_uniform():
    """The full simulation is benchmarks/active_pairing.py; capped runs count as ended there."""
    active = [votes_to_settle(seed, active=True) for seed in range(8)]
    uniform = [votes_to_settle(seed, active=False)[0] for seed in range(8)]
    assert all(right for n_votes, right in active if n_votes < CAP)
    assert np.median([n_votes for n_votes, _ in active]) * 2 <= np.median(uniform)


def test_every_model_reaches_the_exposure_floor():
    rng = np.random.default_rng(0)
    truth = np.linspace(3, -3, 10)
    counts = no_votes(10)
    policy = PairingPolicy(top_k=2, exposure_floor=0.5)
    for _ in range(60):
        battles = next_battles(counts, policy, n=20, rng=rng)
        a, b = np.array([[counts.models.index(m) for m in battle] for battle in battles]).T
        counts = vote(counts, a, b, truth, rng)
    exposure = counts.votes_per_model
    assert exposure.min() >= 0.5 * exposure.mean() - 2


def test_pair_is_settled_by_meeting_in_random_order():
    policy = PairingPolicy(pair=("m00", "m02"), exposure_floor=0.0)
    battles = next_battles(no_votes(3), policy, n=100, rng=np.random.default_rng(0))
    assert {frozenset(battle) for battle in battles} == {frozenset({"m00", "m02"})}
    assert 30 < sum(battle.model_a == "m00" for battle in battles) < 70


def test_nothing_is_settled_without_votes():
    top = top_set(no_votes(4), 2)
    assert not top.settled
    assert top.z == 0


@pytest.mark.parametrize(
    "settings",
    [{}, {"top_k": 1, "pair": ("m00", "m01")}, {"top_k": 1, "exposure_floor": 2.0}],
)
def test_policy_that_makes_no_sense_is_an_error(settings):
    with pytest.raises(InputError):
        PairingPolicy(**settings)


@pytest.mark.parametrize(
    "policy", [PairingPolicy(top_k=3), PairingPolicy(top_k=0), PairingPolicy(pair=("m00", "q"))]
)
def test_policy_that_does_not_fit_the_models_is_an_error(policy):
    with pytest.raises(InputError):
        next_battles(no_votes(3), policy, rng=np.random.default_rng(0))
