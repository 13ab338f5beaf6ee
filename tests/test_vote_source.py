import numpy as np

from evalcore.records import Comparison, ModelSpec
from evalcore.stats.vote_source import load_votes
from evalcore.store import open_store


def vote(number, first, second, kind="human"):
    return Comparison(
        id=str(number),
        example_id=f"e{number}",
        model_a=first,
        model_b=second,
        winner="model_a",
        rater="r",
        rater_kind=kind,
        swapped=False,
        created_utc="2026-01-01T00:00:00Z",
    )


def spec(name, weights):
    return ModelSpec(name=name, backend="fake", weights=weights)


def test_workspace_votes_go_by_name_unless_it_is_shared(tmp_path):
    specs = [spec("tiny", "one"), spec("other", "two"), spec("other", "three")]
    first, second, third = (model.fingerprint for model in specs)
    with open_store(tmp_path) as store:
        for model in specs:
            store.add_model(model)
        store.add_comparisons([vote(1, first, second), vote(2, first, third)])
    votes = load_votes(None, tmp_path, None, kinds=("human",))
    assert set(votes.models) == {"tiny", second, third}


def test_workspace_votes_are_only_of_the_kinds_wanted(tmp_path):
    with open_store(tmp_path) as store:
        store.add_comparisons([vote(1, "x", "y"), vote(2, "x", "y", kind="simulated")])
    assert len(load_votes(None, tmp_path, None, kinds=("human",))) == 1
    assert len(load_votes(None, tmp_path, None, kinds=("human", "simulated"))) == 2


def test_votes_on_postgresql_are_those_of_a_file(postgres, tmp_path):
    kinds = ("human", "judge")
    said = [vote(number, "xyz"[number % 3], "w", kind=kinds[number % 2]) for number in range(1200)]
    read = []
    for folder, url in ((tmp_path / "file", None), (tmp_path / "server", postgres.url)):
        with open_store(folder, url) as store:
            store.add_comparisons(said)
        read.append(load_votes(None, folder, url, kinds=kinds))
    assert read[0].models == read[1].models == ("w", "x", "y", "z")
    for name in ("model_a", "model_b", "winner", "created_s", "swapped"):
        np.testing.assert_array_equal(getattr(read[0], name), getattr(read[1], name))
