"""Leases that are over before their end, since every message of the claim has its outcome. Pure."""

from collections.abc import Iterable


class Leases:
    """Messages of the claims of one process of which no outcome is written yet."""

    def __init__(self) -> None:
        self._open: dict[int, set[str]] = {}
        self._over: list[int] = []

    def begin(self, claim: int, message_ids: Iterable[str]) -> None:
        """These were claimed together, and that was committed."""
        if ids := set(message_ids):
            self._open[claim] = ids

    def settle(self, claim: int, message_id: str) -> None:
        """The outcome of a message was committed. Of a claim of which nobody knows whether it was
        stored nothing is kept: if it was, its lease ends by itself."""
        if claim not in self._open:
            return
        self._open[claim].discard(message_id)
        if not self._open[claim]:
            del self._open[claim]
            self._over.append(claim)

    def over(self) -> list[int]:
        """Claims all of whose messages have their outcome; each is told once."""
        over, self._over = self._over, []
        return over
