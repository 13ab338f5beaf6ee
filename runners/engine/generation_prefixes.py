"""Which prompts share a beginning that is worth computing once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["PromptGroup", "group_prompts"]

_OVERHEAD = 128
"""A prefix of its own takes a further pass and more calls in each step: worth this many tokens."""


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """Prompts that are decoded with one prefix."""

    members: list[int]
    """Positions in the list of prompts, longest prompt first."""
    n_shared: int
    """Tokens at the beginning that are read once for all; 0 for none."""


@dataclass(slots=True)
class _Node:
    """A run of sorted prompts that have ``depth`` tokens in common, and their cheapest groups."""

    depth: int
    n_prompts: int = 0
    n_tokens: int = 0
    cost: int = 0
    groups: list[tuple[list[int], int]] = field(default_factory=list)

    def add(self, other: _Node) -> None:
        """Take a deeper node or a single prompt in."""
        self.n_prompts += other.n_prompts
        self.n_tokens += other.n_tokens
        self.cost += other.cost
        self.groups += other.groups

    def close(self) -> _Node:
        """Share the common beginning where that is cheaper than what the parts do."""
        cost = self.depth + _OVERHEAD + self.n_tokens - self.n_prompts * self.depth
        if self.n_prompts > 1 and cost < self.cost:
            self.cost = cost
            self.groups = [([i for members, _ in self.groups for i in members], self.depth)]
        return self


def group_prompts(prompts: Sequence[Sequence[int]]) -> list[PromptGroup]:
    """Split prompts into groups, each with one shared prefix or none, to compute fewest tokens.

    Parameters
    ----------
    prompts
        Tokens, each at least one. Of each prompt at least the last token stays its own, since a
        prompt's answer begins where that is read.

    Returns
    -------
    list of PromptGroup
        Each prompt is in one of them. Empty for no prompts.
    """
    if not prompts:
        return []
    order = sorted(range(len(prompts)), key=lambda index: list(prompts[index]))
    shared = [_n_shareable(prompts[one], prompts[other]) for one, other in pairwise(order)]
    open_nodes = [_Node(0)]
    for index, after in zip(order, [*shared, 0], strict=True):
        if after > open_nodes[-1].depth:
            open_nodes.append(_Node(after))
        n = len(prompts[index])
        open_nodes[-1].add(_Node(n, n_prompts=1, n_tokens=n, cost=n, groups=[([index], 0)]))
        while open_nodes[-1].depth > after:
            closed = open_nodes.pop().close()
            if open_nodes[-1].depth < after:
                open_nodes.append(_Node(after))
            open_nodes[-1].add(closed)
    groups = [_group(prompts, members, n) for members, n in open_nodes[0].groups if n]
    alone = [index for members, n in open_nodes[0].groups if not n for index in members]
    return [*groups, _group(prompts, alone, 0)] if alone else groups


def _group(prompts: Sequence[Sequence[int]], members: list[int], n_shared: int) -> PromptGroup:
    return PromptGroup(sorted(members, key=lambda i: (-len(prompts[i]), i)), n_shared)


def _n_shareable(one: Sequence[int], other: Sequence[int]) -> int:
    most = min(len(one), len(other)) - 1
    return next((place for place in range(most) if one[place] != other[place]), most)
