"""Ids of messages, templates and media. Pure."""

import base64
from binascii import Error as NotBase64
from itertools import count

_PREFIX = "wamid.HBgM"
_OURS, _THEIRS = b"\x00", b"\x01"
_NUMBER = 8


class Ids:
    """Ids that differ between runs when the nonce (12 bytes) does.

    The id of an accepted message is made of its place in the ledger and read back from it: a
    million of them take no memory.
    """

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._first = int.from_bytes(nonce[:6], "big") + 10**15
        self._numbers = count(1)
        self._heard = 0

    def sent(self, seq: int) -> str:
        """Of the message with this place in the ledger."""
        return self._wamid(_OURS, seq)

    def heard(self) -> str:
        """Of a message that somebody wrote to the business."""
        self._heard += 1
        return self._wamid(_THEIRS, self._heard)

    def place(self, wamid: str) -> int | None:
        """The place in the ledger of a message that the business sent; None if it is not one."""
        return self._read(wamid, _OURS)

    def was_heard(self, wamid: str) -> bool:
        """Whether this is the id of a message that somebody wrote to the business."""
        number = self._read(wamid, _THEIRS)
        return number is not None and 0 < number <= self._heard

    def number(self) -> str:
        """Of a template, media, or an upload."""
        return str(self._first + next(self._numbers))

    def _wamid(self, side: bytes, number: int) -> str:
        raw = self._nonce + side + number.to_bytes(_NUMBER, "big")
        return _PREFIX + base64.b64encode(raw).decode()

    def _read(self, wamid: str, side: bytes) -> int | None:
        if not wamid.startswith(_PREFIX):
            return None
        try:
            raw = base64.b64decode(wamid[len(_PREFIX) :], validate=True)
        except (NotBase64, ValueError):
            return None
        mine = self._nonce + side
        if len(raw) != len(mine) + _NUMBER or not raw.startswith(mine):
            return None
        return int.from_bytes(raw[len(mine) :], "big")
