"""Who was sent what: every accepted message, the newest `limit` of them. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, ...]


@dataclass(slots=True)
class Entry:
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
    statuses: dict[str, float] = field(default_factory=dict)
    """Name of each status told, and when."""

    def repeats(self) -> tuple[Key | None, Key | None]:
        """What must not be seen twice: the callback data; the (template, recipient)."""
        by_data = None if self.callback_data is None else (self.callback_data,)
        return by_data, (self.template, self.to) if self.template else None


class Ledger:
    """Entries in the order of acceptance. Forgets the oldest tenth when full."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: list[Entry] = []
        self._first = 1
        self._by_data: Counter[Key] = Counter()
        self._by_template: Counter[Key] = Counter()

    def add(
        self,
        *,
        wamid: str,
        to: str,
        phone_number_id: str,
        kind: str,
        template: str,
        callback_data: str | None,
        now: float,
    ) -> Entry:
        seq = self._first + len(self._entries)
        entry = Entry(seq, wamid, to, phone_number_id, kind, template, callback_data, now)
        self._entries.append(entry)
        self._count(entry, 1)
        if len(self._entries) > self._limit:
            self._forget(max(1, self._limit // 10))
        return entry

    def page(self, after: int, limit: int) -> list[Entry]:
        """At most `limit` entries whose seq is greater than `after`."""
        start = max(0, after + 1 - self._first)
        return self._entries[start : start + limit]

    def duplicates(self, examples: int = 20) -> dict[str, Any]:
        """How many callback data and (template, recipient) pairs were accepted more than once."""
        by_data = [k[0] for k, n in self._by_data.items() if n > 1]
        by_template = [list(k) for k, n in self._by_template.items() if n > 1]
        return {
            "by_callback_data": len(by_data),
            "by_template_and_recipient": len(by_template),
            "callback_data_examples": by_data[:examples],
            "template_and_recipient_examples": by_template[:examples],
            "forgotten": self._first - 1,
        }

    def __len__(self) -> int:
        return len(self._entries)

    def _forget(self, count: int) -> None:
        for entry in self._entries[:count]:
            self._count(entry, -1)
        del self._entries[:count]
        self._first += count

    def _count(self, entry: Entry, by: int) -> None:
        for key, counter in zip(entry.repeats(), (self._by_data, self._by_template), strict=True):
            if key is not None:
                counter[key] += by
                if counter[key] == 0:
                    del counter[key]
