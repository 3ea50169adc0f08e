"""Entries of the log are `EventBatch` messages, joined and split here without decoding events.

A serialised repeated field is its elements in turn, each behind a tag and its length (protocol
buffers' encoding page), so a batch can be put together from bytes, and one broken event cannot
spoil its neighbours.
"""

from collections.abc import Iterable

_EVENTS_TAG = b"\x0a"  # field 1, length-delimited
_MORE = 0x80


def join(events: Iterable[bytes]) -> bytes:
    """One entry holding `events`, each a serialised `Event`."""
    parts: list[bytes] = []
    for event in events:
        parts += (_EVENTS_TAG, _varint(len(event)), event)
    return b"".join(parts)


def split(entry: bytes) -> list[bytes]:
    """The events of an entry. Raises `ValueError` when the entry was not made by `join`."""
    events: list[bytes] = []
    position, end = 0, len(entry)
    while position < end:
        if entry[position] != _EVENTS_TAG[0]:
            raise ValueError(f"not an EventBatch: unexpected tag at byte {position}")
        position += 1
        length = shift = 0
        while True:
            if position >= end:
                raise ValueError("not an EventBatch: it ends inside a length")
            byte = entry[position]
            position += 1
            length |= (byte & ~_MORE) << shift
            shift += 7
            if byte < _MORE:
                break
        if position + length > end:
            raise ValueError("not an EventBatch: it ends inside an event")
        events.append(entry[position : position + length])
        position += length
    return events


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= _MORE:
        out.append(number & ~_MORE & 0xFF | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)
