"""Who was sent what: every accepted message, the newest `limit` of them. Pure.

Kept in columns, about a hundred bytes a message: a million fit where a list of objects would take
a gigabyte.
"""

from array import array
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

from simulator.webhooks.updates import StatusName

STATUSES: Final[tuple[StatusName, ...]] = ("sent", "delivered", "read", "played", "failed")
_PLACE: Final = {name: place for place, name in enumerate(STATUSES)}
_NOT_YET: Final = -1.0


class Entry(NamedTuple):
    """One accepted message."""

    seq: int
    wamid: str
    to: str
    phone_number_id: str
    type: str
    template: str
    callback_data: str | None
    accepted: float
    """Unix time in seconds."""
    statuses: dict[str, float]
    """Name of each status told, and when."""
    code: int
    """Of the failure; 0 if there was none."""


class _Names:
    """Texts that occur often, by number."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = len(self.names)
            self.names.append(name)
        return place

    def find(self, name: str) -> int | None:
        return self._places.get(name)


class Ledger:
    """Messages in the order of acceptance. Forgets the oldest tenth when full."""

    def __init__(self, limit: int, wamid: Callable[[int], str]) -> None:
        """`wamid`: the id of the message with a given place."""
        self._limit = limit
        self._wamid = wamid
        self.first = 1
        """The place of the oldest that is still known."""
        self._names = _Names()
        self._accepted = array("d")
        self._to = array("Q")
        self._number = array("I")
        self._kind = array("I")
        self._template = array("I")
        self._code = array("I")
        # Seconds after acceptance, five for each message.
        self._told = array("f")
        self._data = bytearray()
        # Where each message's callback data begins, counted from the first ever, and one more.
        self._data_at = array("Q", [0])
        self._data_first = 0

    def __len__(self) -> int:
        return len(self._accepted)

    def add(
        self,
        *,
        to: str,
        phone_number_id: str,
        kind: str,
        template: str,
        callback_data: str | None,
        now: float,
    ) -> int:
        """The place of the message."""
        if len(self._accepted) >= self._limit:
            self._forget(max(1, self._limit // 10))
        names = self._names
        self._accepted.append(now)
        self._to.append(int(to))
        self._number.append(names.place(phone_number_id))
        self._kind.append(names.place(kind))
        self._template.append(names.place(template))
        self._code.append(0)
        self._told.extend((_NOT_YET, _NOT_YET, _NOT_YET, _NOT_YET, _NOT_YET))
        if callback_data is not None:
            # The first byte tells none from empty.
            self._data += b"=" + callback_data.encode("utf-8", "surrogatepass")
        self._data_at.append(self._data_first + len(self._data))
        return self.first + len(self._accepted) - 1

    def tell(self, seq: int, name: StatusName, now: float, code: int = 0) -> None:
        """A status was told of it; of a message that is forgotten nothing is kept."""
        place = seq - self.first
        if place < 0:
            return
        self._told[5 * place + _PLACE[name]] = now - self._accepted[place]
        self._code[place] = code

    def get(self, seq: int) -> Entry | None:
        return self._entry(seq - self.first) if 0 <= seq - self.first < len(self) else None

    def accepted(self, seq: int) -> float | None:
        """When a message was accepted; None when it is forgotten."""
        return self._accepted[seq - self.first] if 0 <= seq - self.first < len(self) else None

    def page(self, after: int, limit: int) -> list[Entry]:
        """At most `limit` entries whose seq is greater than `after`."""
        start = max(0, after + 1 - self.first)
        return [self._entry(place) for place in range(start, min(start + limit, len(self)))]

    # --- whole columns, for questions ---------------------------------------------------------

    def times(self, phone_number_id: str) -> Iterator[float]:
        """When each message from this number was accepted, in order."""
        number = self._names.find(phone_number_id)
        return (t for t, n in zip(self._accepted, self._number, strict=True) if n == number)

    def meetings(self) -> Iterator[tuple[tuple[int, int], float]]:
        """Of each message the (number, recipient) and when, in order."""
        return zip(zip(self._number, self._to, strict=True), self._accepted, strict=True)

    def recipients(self, *, template: str | None, prefix: str) -> Iterator[str]:
        """Of each message of this template (None: any) whose callback data begins so."""
        wanted = None if template is None else self._names.find(template)
        begins = b"=" + prefix.encode() if prefix else b""
        if template is not None and wanted is None:
            return
        at, first, data = self._data_at, self._data_first, self._data
        for place, to in enumerate(self._to):
            if wanted is not None and self._template[place] != wanted:
                continue
            start = at[place] - first
            if begins and not data.startswith(begins, start, at[place + 1] - first):
                continue
            yield str(to)

    def callback_data(self) -> Iterator[bytes]:
        """Of each message that has any."""
        first = self._data_first
        for start, end in pairwise(self._data_at):
            if end > start:
                yield bytes(self._data[start - first + 1 : end - first])

    def template_and_recipient(self) -> Iterator[tuple[str, str]]:
        """Of each message that is a template."""
        names = self._names.names
        for template, to in zip(self._template, self._to, strict=True):
            if names[template]:
                yield names[template], str(to)

    def size(self) -> int:
        """Bytes in memory."""
        columns = (self._accepted, self._to, self._number, self._kind, self._template, self._code,
                   self._told, self._data_at)  # fmt: skip
        return sum(len(c) * c.itemsize for c in columns) + len(self._data)

    # --- one message --------------------------------------------------------------------------

    def _entry(self, place: int) -> Entry:
        names, seq = self._names.names, self.first + place
        accepted = self._accepted[place]
        told = self._told[5 * place : 5 * place + 5]
        return Entry(
            seq,
            self._wamid(seq),
            str(self._to[place]),
            names[self._number[place]],
            names[self._kind[place]],
            names[self._template[place]],
            self._callback_data(place),
            accepted,
            {
                name: round(accepted + after, 3)
                for name, after in zip(STATUSES, told, strict=True)
                if after != _NOT_YET
            },
            self._code[place],
        )

    def _callback_data(self, place: int) -> str | None:
        start, end = (at - self._data_first for at in self._data_at[place : place + 2])
        if start == end:
            return None
        return self._data[start + 1 : end].decode("utf-8", "surrogatepass")

    def _forget(self, count: int) -> None:
        cut = self._data_at[count] - self._data_first
        del self._data[:cut], self._data_at[:count], self._told[: 5 * count]
        self._data_first += cut
        for column in (self._accepted, self._to, self._number, self._kind, self._template,
                       self._code):  # fmt: skip
            del column[:count]
        self.first += count


def as_json(entry: Entry) -> dict[str, Any]:
    """For the control API."""
    return entry._asdict()
