"""Coalitions of players, and the contrasts of their worths that say what each player adds.

A coalition is a bit mask: player i is in it if bit i is set. A contrast is a row of coefficients
over a design's coalitions; applied to the worths of the coalitions it gives a number for each
example, so that whatever is linear in the worths gets paired, per-example evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError

__all__ = ["Design", "every_coalition", "sampled_coalitions"]

Row = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Which coalitions are looked at."""

    n_players: int
    coalitions: tuple[int, ...]
    """Bit masks, increasing; the empty and the full one are among them."""
    permutations: tuple[tuple[int, ...], ...] = ()
    """Orders in which players join, each followed by its reverse; none if every coalition is
    there."""

    @property
    def is_exact(self) -> bool:
        """Whether nothing was sampled."""
        return not self.permutations

    @property
    def full(self) -> int:
        """The coalition of all players."""
        return (1 << self.n_players) - 1

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Every two players, in the order of :meth:`interactions`."""
        return tuple(combinations(range(self.n_players), 2))

    def gain(self) -> Row:
        """All players against none, v(N) − v(∅), shape (n_coalitions,)."""
        return self._row({self.full: 1.0}, {0: -1.0})

    def leave_one_out(self) -> NDArray[np.float64]:
        """Give what is lost without a player, v(N) − v(N∖i), shape (n_players, n_coalitions)."""
        rows = [
            self._row({self.full: 1.0}, {self.full ^ 1 << player: -1.0})
            for player in range(self.n_players)
        ]
        return self._stacked(rows)

    def shapley(self) -> NDArray[np.float64]:
        """Shapley's value, shape (n_players, n_coalitions).

        φ_i = Σ_{S ⊆ N∖i} |S|! (n−|S|−1)! / n! · (v(S∪i) − v(S)) [1]_: the mean, over all orders in
        which the players may join, of what i adds to those before it. The rows sum to
        :meth:`gain`. Of a sampled design it is the mean over the orders that were drawn [2]_, whose
        rows sum to :meth:`gain`, too.

        References
        ----------
        .. [1] Shapley (1953), A value for n-person games, Contributions to the Theory of Games II,
           eq. 12.
        .. [2] Castro, Gómez & Tejada (2009), Polynomial calculation of the Shapley value based on
           sampling, Computers & Operations Research 36, section 3.
        """
        if not self.is_exact:
            return self._stacked([self.marginals(i).mean(axis=0) for i in range(self.n_players)])
        n = self.n_players
        return self._stacked(
            [
                np.array(
                    [
                        1.0 / (n * comb(n - 1, mask.bit_count() - 1))
                        if mask >> player & 1
                        else -1.0 / (n * comb(n - 1, mask.bit_count()))
                        for mask in self.coalitions
                    ]
                )
                for player in range(n)
            ]
        )

    def marginals(self, player: int) -> NDArray[np.float64]:
        """Give what a player adds in each sampled order, shape (n_permutations, n_coalitions)."""
        rows = []
        for order in self.permutations:
            before = sum(1 << other for other in order[: order.index(player)])
            rows.append(self._row({before | 1 << player: 1.0}, {before: -1.0}))
        return self._stacked(rows)

    def interactions(self) -> NDArray[np.float64]:
        """Interaction of every two players, shape (n_pairs, n_coalitions).

        It says how much more they add together than each by itself: with
        Δ_ij(S) = v(S∪ij) − v(S∪i) − v(S∪j) + v(S) the interaction index is
        I_ij = Σ_{S ⊆ N∖ij} |S|! (n−|S|−2)! / (n−1)! · Δ_ij(S) [1]_. Below 0 the two get in each
        other's way. A sampled design has Δ_ij(N∖ij) instead, their interaction in the full stack.

        References
        ----------
        .. [1] Grabisch & Roubens (1999), An axiomatic approach to the concept of interaction among
           players in cooperative games, Int. J. Game Theory 28, eq. 2.
        """
        if not self.is_exact:
            return self._stacked([self._last_interaction(*pair) for pair in self.pairs])
        n = self.n_players
        rows = []
        for first, second in self.pairs:
            both = 1 << first | 1 << second
            row = []
            for mask in self.coalitions:
                sign = -1.0 if (mask & both).bit_count() == 1 else 1.0
                row.append(sign / ((n - 1) * comb(n - 2, (mask & ~both).bit_count())))
            rows.append(np.array(row))
        return self._stacked(rows)

    def _last_interaction(self, first: int, second: int) -> Row:
        full, one, other = self.full, 1 << first, 1 << second
        return self._row({full: 1.0, full ^ one ^ other: 1.0}, {full ^ one: -1.0, full ^ other: -1})

    def _row(self, *parts: Mapping[int, float]) -> Row:
        place = {mask: at for at, mask in enumerate(self.coalitions)}
        row = np.zeros(len(self.coalitions))
        for part in parts:
            for mask, coefficient in part.items():
                row[place[mask]] += coefficient
        return row

    def _stacked(self, rows: Iterable[Row]) -> NDArray[np.float64]:
        return np.array(list(rows), dtype=float).reshape(-1, len(self.coalitions))


def every_coalition(n_players: int) -> Design:
    """All 2ⁿ coalitions of n players, at least one."""
    _check_players(n_players)
    return Design(n_players=n_players, coalitions=tuple(range(1 << n_players)))


def sampled_coalitions(n_players: int, *, n_permutations: int, seed: int = 0) -> Design:
    """Coalitions along sampled orders, and those without one or two players.

    Each order comes with its reverse, which makes the Shapley values' sampling error smaller where
    a player's share falls or rises with the number of those before it [1]_.

    Parameters
    ----------
    n_players
        At least one.
    n_permutations
        Orders, an even number of at least four, so that the sampling error can be told.
    seed
        Fixes the orders: the same seed asks for the same coalitions.

    References
    ----------
    .. [1] Mitchell, Cooper, Frank & Holmes (2022), Sampling permutations for Shapley value
       estimation, JMLR 23, section 2.3.
    """
    _check_players(n_players)
    if n_permutations < 4 or n_permutations % 2:
        raise InputError(f"n_permutations must be even and at least 4; got {n_permutations}")
    rng = np.random.default_rng(seed)
    orders: list[tuple[int, ...]] = []
    for _ in range(n_permutations // 2):
        order = tuple(int(player) for player in rng.permutation(n_players))
        orders += [order, order[::-1]]
    full = (1 << n_players) - 1
    masks = {0, full}
    for order in orders:
        mask = 0
        for player in order:
            mask |= 1 << player
            masks.add(mask)
    masks |= {full & ~(1 << i) for i in range(n_players)}
    masks |= {full & ~(1 << i | 1 << j) for i, j in combinations(range(n_players), 2)}
    return Design(n_players=n_players, coalitions=tuple(sorted(masks)), permutations=tuple(orders))


def _check_players(n_players: int) -> None:
    if n_players < 1:
        raise InputError(f"n_players must be at least 1; got {n_players}")
