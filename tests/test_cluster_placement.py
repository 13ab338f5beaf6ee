"""What a worker takes of a node: arithmetic, without Ray and without a GPU."""

import pytest

from evalcore.errors import InputError
from evalcore.records import ModelSpec
from runners.cluster.choice import ClusterChoice
from runners.cluster.placement import Need, NodeFacts, bundles, capacity, check_fits, need_of

SPEC = ModelSpec(name="fake", backend="fake", weights="fake")
GIB = 2**30


def node(**resources: float) -> NodeFacts:
    labels = {"zone": "a"} if resources.pop("zone", 0) else {}
    return NodeFacts(
        node_id="n", host="n", resources={"memory": 64 * GIB, **resources}, labels=labels
    )


def spread(n_gpus: int) -> ModelSpec:
    access = (("tensor_parallel", str(n_gpus)),)
    return ModelSpec(name="big", backend="fake", weights="big", access=access)


def test_a_worker_takes_a_gpu_where_there_are_any():
    assert need_of(ClusterChoice(), [SPEC], [node(CPU=8, GPU=4)]).gpus == 1
    assert need_of(ClusterChoice(), [SPEC], [node(CPU=8)]).gpus == 0


def test_a_model_for_the_processor_takes_no_gpu():
    on_cpu = ModelSpec(name="cpu", backend="fake", weights="cpu", device="cpu")
    assert need_of(ClusterChoice(), [on_cpu], [node(CPU=8, GPU=4)]).gpus == 0
    assert need_of(ClusterChoice(), [on_cpu, SPEC], [node(CPU=8, GPU=4)]).gpus == 1


def test_what_is_said_counts():
    choice = ClusterChoice(gpus=0.25, cpus=2, memory_bytes=GIB, resources=(("fast", 1.0),))
    need = need_of(choice, [SPEC], [node(CPU=8, GPU=4)])
    assert need.amounts() == {"CPU": 2, "GPU": 0.25, "memory": GIB, "fast": 1}


def test_weights_decide_how_much_memory_a_worker_takes():
    from runners import parse_model, resolve

    spec = resolve(parse_model("zoo:tiny"))
    assert need_of(ClusterChoice(), [spec], []).memory_bytes == 512 * 2**20


def test_a_spread_model_takes_its_gpus_as_one_bundle():
    need = need_of(ClusterChoice(cpus=2, memory_bytes=GIB), [spread(4)], [node(CPU=64, GPU=8)])
    assert need.ranks == 4
    assert bundles(need) == [{"CPU": 8, "GPU": 4, "memory": GIB}]


def test_capacity_counts_what_is_scarcest_on_each_node():
    need = Need(cpus=2, gpus=0.5, memory_bytes=GIB)
    assert capacity(need, [node(CPU=8, GPU=1), node(CPU=3, GPU=4), node(CPU=16)]) == 2 + 1


def test_capacity_counts_fractions_without_rounding_errors():
    need = Need(cpus=0, gpus=0.1, memory_bytes=0)
    assert capacity(need, [node(GPU=1)]) == 10


def test_a_spread_model_needs_its_gpus_on_one_node():
    need = need_of(ClusterChoice(), [spread(4)], [])
    assert capacity(need, [node(CPU=8, GPU=2), node(CPU=8, GPU=8)]) == 2
    with pytest.raises(InputError, match=r"asks for 4 GPUs, and no node .* most is 2 GPUs"):
        check_fits(need, [node(CPU=8, GPU=2), node(CPU=8, GPU=2)])


def test_only_nodes_with_the_labels_count():
    need = Need(cpus=1, gpus=0, memory_bytes=0, labels=(("zone", "a"),))
    assert capacity(need, [node(CPU=4, zone=1), node(CPU=4)]) == 4


@pytest.mark.parametrize(
    ("need", "problem"),
    [
        (Need(cpus=1, gpus=8, memory_bytes=0), "asks for 8 GPUs, and no node .* most is 2 GPUs"),
        (Need(cpus=99, gpus=0, memory_bytes=0), "asks for 99 CPUs"),
        (Need(cpus=1, gpus=0, memory_bytes=GIB * 99), "99.0 GiB of memory.*most is 64.0 GiB"),
        (Need(cpus=1, gpus=0, memory_bytes=0, resources=(("x", 1.0),)), "1 of resource x"),
        (Need(cpus=1, gpus=0, memory_bytes=0, labels=(("zone", "b"),)), "labels zone=b"),
        (Need(cpus=8, gpus=2, memory_bytes=0), "has all that a worker asks for"),
    ],
)
def test_what_no_node_has_is_refused(need: Need, problem: str):
    with pytest.raises(InputError, match=problem):
        check_fits(need, [node(CPU=8), node(CPU=2, GPU=2, zone=1)])
