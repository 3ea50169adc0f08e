"""What each number did in each second. Pure."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Literal

Kind = Literal["accepted", "refused", "heard"]

_PLACES = {"accepted": 0, "refused": 1, "heard": 2}
_MOST = 100_000


class Seconds:
    """The newest 100,000 seconds in which something happened, over all numbers."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[int, str], list[int]] = OrderedDict()

    def count(self, phone_number_id: str, kind: Kind, now: float) -> None:
        """`refused`: by 130429; `heard`: what people wrote, which counts against the limit."""
        key = (int(now), phone_number_id)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0, 0, 0]
            if len(self._counts) > _MOST:
                self._counts.popitem(last=False)
        counts[_PLACES[kind]] += 1

    def of(self, phone_number_id: str) -> Iterator[dict[str, Any]]:
        """In order of time."""
        for (second, number), (accepted, refused, heard) in self._counts.items():
            if number == phone_number_id:
                yield {
                    "second": second,
                    "accepted": accepted,
                    "refused": refused,
                    "heard": heard,
                }
