"""Repeatable dice. Pure: the same key gives the same throws, on every machine."""

import struct
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from math import exp, log
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")

_WORDS = struct.Struct("<16I")
_ALL = 2.0**-32
_STEPS = 1024


class Dice:
    """Throws that depend on nothing but the key. A person costs a few microseconds to decide:
    seeding the standard library's generator alone costs ten."""

    __slots__ = ("_at", "_blocks", "_key", "_words")

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._blocks = 0
        self._at = 0
        self._words: tuple[int, ...] = ()

    def share(self) -> float:
        """Even over [0, 1)."""
        at = self._at
        if not at:
            digest = blake2b(self._key, salt=self._blocks.to_bytes(8, "little")).digest()
            self._words = _WORDS.unpack(digest)
            self._blocks += 1
            at = 16
        self._at = at = at - 1
        return self._words[at] * _ALL

    def happens(self, probability: float) -> bool:
        return self.share() < probability

    def pick(self, among: Sequence[T]) -> T:
        return among[int(self.share() * len(among))]

    def weighted(self, weights: Sequence[tuple[T, float]]) -> T:
        """One of the first, by the second; the weights sum to 1."""
        left = self.share()
        for one, weight in weights:
            left -= weight
            if left < 0:
                return one
        return weights[-1][0]

    def delay(self, median: float, spread: float) -> float:
        """Log-normal, as how long people take is."""
        return median * _log_normal(spread)[int(self.share() * _STEPS)]

    def above_none(self) -> float:
        """Exponential with mean 1: most a little, few much."""
        return -log(1.0 - self.share())

    def inclined(self, a: float, b: float) -> float:
        """Kumaraswamy over (0, 1): like a beta law, with an inverse in closed form."""
        return float((1.0 - (1.0 - self.share()) ** (1.0 / b)) ** (1.0 / a))


@cache
def _log_normal(spread: float) -> tuple[float, ...]:
    normal = NormalDist()
    return tuple(exp(spread * normal.inv_cdf((n + 0.5) / _STEPS)) for n in range(_STEPS))
