"""What a worker takes of a node, and on which nodes it fits; nothing here talks to Ray."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evalcore.errors import InputError
from evalcore.records import ModelSpec
from runners.cluster.choice import ClusterChoice

__all__ = ["Need", "NodeFacts", "bundles", "capacity", "check_fits", "need_of", "tensor_parallel"]

_OVERHEAD: Final = 1.25
"""Memory of a loaded model by that of its weights."""
_LEAST_BYTES: Final = 512 * 2**20
"""Of a worker without weights: Python and torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A living node."""

    node_id: str
    host: str
    resources: Mapping[str, float]
    """All of the node's, those in use included: ``CPU``, ``GPU``, ``memory`` and custom ones."""
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one worker takes."""

    cpus: float
    gpus: float
    """For all ranks of a model that is spread over several GPUs together."""
    memory_bytes: int
    resources: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    ranks: int = 1
    """GPUs that a model is spread over; above 1 they are a placement group."""

    def amounts(self) -> dict[str, float]:
        """By Ray's names, nothing of which a worker takes nothing."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory_bytes)}
        return {name: some for name, some in {**named, **dict(self.resources)}.items() if some}


def need_of(choice: ClusterChoice, specs: Sequence[ModelSpec], nodes: Sequence[NodeFacts]) -> Need:
    """Say what a worker takes that may run any of some specs.

    Without anything said: a GPU where the cluster has any and no spec asks for the processor, one
    core for each GPU or without, and the memory of the largest weights and a quarter more.
    """
    ranks = max([tensor_parallel(spec) for spec in specs], default=1)
    has_gpus = any(node.resources.get("GPU", 0) for node in nodes)
    wants_gpus = has_gpus and not all(spec.device == "cpu" for spec in specs)
    gpus = choice.gpus if choice.gpus is not None else float(wants_gpus)
    if ranks > 1:
        gpus = float(ranks)
    return Need(
        cpus=(1.0 if choice.cpus is None else choice.cpus) * ranks,
        gpus=gpus,
        memory_bytes=choice.memory_bytes or _memory_bytes(specs),
        resources=choice.resources,
        labels=choice.labels,
        ranks=ranks,
    )


def tensor_parallel(spec: ModelSpec) -> int:
    """Return over how many GPUs a spec spreads its layers; 1 if it says nothing."""
    said = dict(spec.options) | dict(spec.access)
    return int(said.get("tensor_parallel", 1))


def bundles(need: Need) -> list[dict[str, float]]:
    """Return the bundles of the placement group of a model that is spread over GPUs.

    It is one: vLLM's ranks are processes of one machine, and a bundle is given as a whole, so that
    two models don't take half of their GPUs each and wait for the other half.
    """
    return [need.amounts()]


def capacity(need: Need, nodes: Sequence[NodeFacts]) -> int:
    """Return how many workers fit the cluster if nobody else uses it."""
    return sum(_workers_on(need, node) for node in nodes)


def check_fits(need: Need, nodes: Sequence[NodeFacts]) -> None:
    """Refuse what no node of the cluster can ever give.

    Raises
    ------
    InputError
        Naming what is asked for, and the most that a node has.
    """
    labelled = [node for node in nodes if _suits(need, node)]
    if not labelled:
        wanted = ", ".join(f"{name}={value}" for name, value in need.labels)
        raise InputError(f"no node of the cluster has the labels {wanted}")
    amounts = need.amounts()
    for name, amount in amounts.items():
        most = max(node.resources.get(name, 0.0) for node in labelled)
        if most < amount:
            raise InputError(
                f"a worker asks for {_told(name, amount)}, and no node of the cluster has that; "
                f"the most is {_told(name, most)}"
            )
    if capacity(need, nodes) == 0:
        raise InputError(
            f"no node of the cluster has all that a worker asks for: "
            f"{', '.join(_told(name, amount) for name, amount in need.amounts().items())}"
        )


def _workers_on(need: Need, node: NodeFacts) -> int:
    if not _suits(need, node):
        return 0
    ratios = [node.resources.get(name, 0.0) / some for name, some in need.amounts().items()]
    return math.floor(min(ratios, default=1.0) + 1e-6)


def _suits(need: Need, node: NodeFacts) -> bool:
    return all(node.labels.get(name) == value for name, value in need.labels)


def _told(name: str, amount: float) -> str:
    if name == "memory":
        return f"{amount / 2**30:.1f} GiB of memory"
    what = {"CPU": "CPUs", "GPU": "GPUs"}.get(name, f"of resource {name}")
    return f"{amount:g} {what}"


def _memory_bytes(specs: Sequence[ModelSpec]) -> int:
    from runners.backends import backend

    largest = max(
        (sum(path.stat().st_size for path in backend(s.backend).files(s)) for s in specs), default=0
    )
    return max(_LEAST_BYTES, int(largest * _OVERHEAD))
