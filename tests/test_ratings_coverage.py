import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parent.parent / "benchmarks" / "ratings_coverage.py"


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("ratings_coverage", PATH)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.parametrize(
    "name",
    [
        "independent votes",
        "independent votes, Davidson",
        "rater effects",
        "rater effects, 12 raters",
        "both, 30 raters and 40 prompts",
        "one rater with 30 %",
        "models close together",
    ],
)
def test_intervals_cover_the_truth(simulation, name):
    """Thirty runs of twenty models; the full simulation is the benchmark itself."""
    (scenario,) = (one for one in simulation.SCENARIOS if one.name == name)
    found = {name: share for name, (share, _) in simulation.coverage(scenario, runs=30).items()}
    assert 0.92 <= found["ratings"] <= 0.98
    assert 0.92 <= found["ranks"] <= 0.985
    assert found["simultaneous"] >= 0.95


def test_ignoring_rater_effects_is_noticed(simulation):
    """The simulation can fail: votes by one dominating rater are no independent votes."""
    (scenario,) = (one for one in simulation.SCENARIOS if one.name == "one rater with 30 %")
    ignoring = simulation.Scenario(
        name="wrong", rater_sd=scenario.rater_sd, dominant=scenario.dominant
    )
    assert simulation.coverage(ignoring, runs=30)["ratings"][0] < 0.85
