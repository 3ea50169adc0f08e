"""Events that a group could not handle: kept with the reason, listed, sent round again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from chassis.streams import framing
from chassis.streams.log import FIELD, EventLog

_MOST: Final = 100_000  # kept; beyond that the oldest go, and the counter of dead letters tells
_COUNTED: Final = 10_000
# In pages, since letters hold their events and all of a page is in memory at once.
_COUNTS: Final = """
local before, seen, counts = '+', 0, {}
repeat
    local page = redis.call('XREVRANGE', KEYS[1], before, '-', 'COUNT', 100)
    for _, letter in ipairs(page) do
        for field = 1, #letter[2], 2 do
            if letter[2][field] == 'group' then
                local group = letter[2][field + 1]
                counts[group] = (counts[group] or 0) + 1
            end
        end
    end
    seen = seen + #page
    if #page > 0 then before = '(' .. page[#page][1] end
until #page < 100 or seen >= tonumber(ARGV[1])
local found = {}
for group, count in pairs(counts) do
    found[#found + 1] = group
    found[#found + 1] = count
end
return found
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that was given up on."""

    dead_letter_id: str
    group: str
    stream: str
    reason: str
    time: datetime
    event: bytes


class DeadLetters:
    """The dead-letter topic of a log."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._stream = log.key("{dead}")

    async def put(self, group: str, stream: str, reason: str, event: bytes) -> None:
        """Keep an event that `group` could not handle. The reason holds nothing personal."""
        fields = {b"group": group, b"stream": stream, b"reason": reason, FIELD: event}
        await self._log.redis.xadd(self._stream, fields, maxlen=_MOST, approximate=True)

    async def list(self, group: str, before: str, count: int) -> list[DeadLetter]:
        """Dead letters of a group (empty: of all), newest first, from before an id (empty: from
        the newest)."""
        found: list[DeadLetter] = []
        start = before
        while len(found) < count:
            high = f"({start}" if start else "+"
            entries = await self._log.redis.xrevrange(self._stream, high, "-", count=count)
            if not entries:
                break
            for entry_id, fields in entries:
                start = entry_id.decode()
                letter = _letter(start, fields)
                if not group or letter.group == group:
                    found.append(letter)
        return found[:count]

    async def counts(self) -> dict[str, int]:
        """How many of the newest 10,000 dead letters each group has; of others, 0."""
        found = await self._log.redis.eval(_COUNTS, 1, self._stream, _COUNTED)
        return {group.decode(): count for group, count in zip(found[::2], found[1::2], strict=True)}

    async def get(self, dead_letter_id: str) -> DeadLetter | None:
        """One dead letter, or None."""
        entries = await self._log.redis.xrange(self._stream, dead_letter_id, dead_letter_id)
        return _letter(dead_letter_id, entries[0][1]) if entries else None

    async def forget(self, letters: Sequence[DeadLetter]) -> None:
        """Delete dead letters; their events come back to nobody."""
        if letters:
            await self._log.redis.xdel(self._stream, *[one.dead_letter_id for one in letters])

    async def redrive(self, letters: Sequence[DeadLetter]) -> None:
        """Put events back on the streams they came from, then forget their dead letters.

        Other groups of that stream see them again and drop them by id.
        """
        for letter in letters:
            await self._log.redis.xadd(letter.stream, {FIELD: framing.join([letter.event])})
            await self._log.redis.xdel(self._stream, letter.dead_letter_id)


def _letter(entry_id: str, fields: dict[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        dead_letter_id=entry_id,
        group=fields[b"group"].decode(),
        stream=fields[b"stream"].decode(),
        reason=fields[b"reason"].decode(),
        time=datetime.fromtimestamp(int(entry_id.split("-", 1)[0]) / 1000, UTC),
        event=fields[FIELD],
    )
