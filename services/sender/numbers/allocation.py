"""Which business number a message goes from. Pure: the same facts, the same number."""

import hashlib
import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from services.sender.model import Contact, Number

_SPAN: Final = 2**64


class Line(Struct, frozen=True):
    """A number, and how much it can take."""

    phone_number_id: str
    capacity: float
    """Messages a second, without what the number keeps for replies."""


def lines_of(numbers: Sequence[Number], now: int) -> list[Line]:
    """Numbers with what they can take: those that may send; if none may, all of them, since what
    waits for them may go later."""
    sending = [one for one in numbers if not one.paused and not one.restricted(now)]
    return [
        Line(one.phone_number_id, one.throughput * (1 - (one.reply_share or 0)))
        for one in sending or numbers
    ]


def allocate(lines: Sequence[Line], contact: Contact) -> str:
    """The number that the person wrote to last, if it is among these; else one drawn by capacity.

    Drawn by rendezvous (highest random weight): when a number comes, goes or changes what it can
    take, only as many people move as have to. At least one line must be given.
    """
    ours = {line.phone_number_id for line in lines}
    written = [
        (address.last_message_time, address.phone_number_id)
        for address in contact.addresses
        if address.phone_number_id in ours
    ]
    if written:
        return max(written)[1]
    usable = [line for line in lines if line.capacity > 0] or list(lines)
    best = max(usable, key=lambda line: (_score(line, contact.contact_id), line.phone_number_id))
    return best.phone_number_id


def _score(line: Line, contact_id: str) -> float:
    digest = hashlib.blake2b(
        f"number\x1f{line.phone_number_id}\x1f{contact_id}".encode(), digest_size=8
    ).digest()
    drawn = (int.from_bytes(digest, "big") + 1) / (_SPAN + 1)  # above 0, below 1
    return max(line.capacity, 1e-9) / -math.log(drawn)
