"""Ids of messages, templates and media. Pure."""

import base64
from binascii import Error as NotBase64
from binascii import crc32
from itertools import count

_PREFIX = "wamid.HBgM"
_OURS, _THEIRS = b"\x00", b"\x01"
_NUMBER = 8
_CHAT = 4


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
        return self._wamid(_OURS, seq.to_bytes(_NUMBER, "big"))

    def heard(self, phone_number_id: str, wa_id: str) -> str:
        """Of a message that somebody wrote to a number."""
        self._heard += 1
        place = self._heard.to_bytes(_NUMBER, "big")
        return self._wamid(_THEIRS, place + _mark(phone_number_id) + _mark(wa_id))

    def place(self, wamid: str) -> int | None:
        """The place in the ledger of a message that the business sent; None if it is not one."""
        raw = self._read(wamid, _OURS)
        return int.from_bytes(raw, "big") if len(raw) == _NUMBER else None

    def was_heard(self, wamid: str, phone_number_id: str, wa_id: str | None = None) -> bool:
        """Whether this is the id of a message that somebody (this person, if one is given) wrote
        to the number."""
        raw = self._read(wamid, _THEIRS)
        place, chat = int.from_bytes(raw[:_NUMBER], "big"), raw[_NUMBER:]
        written = chat[:_CHAT] == _mark(phone_number_id) and 0 < place <= self._heard
        return written and (wa_id is None or chat[_CHAT:] == _mark(wa_id))

    def number(self) -> str:
        """Of a template, media, or an upload."""
        return str(self._first + next(self._numbers))

    def _wamid(self, side: bytes, rest: bytes) -> str:
        return _PREFIX + base64.b64encode(self._nonce + side + rest).decode()

    def _read(self, wamid: str, side: bytes) -> bytes:
        """What stands in an id of this side; nothing if it is not one."""
        if not wamid.startswith(_PREFIX):
            return b""
        try:
            raw = base64.b64decode(wamid[len(_PREFIX) :], validate=True)
        except (NotBase64, ValueError):
            return b""
        mine = self._nonce + side
        return raw[len(mine) :] if raw.startswith(mine) else b""


def _mark(name: str) -> bytes:
    return crc32(name.encode()).to_bytes(_CHAT, "big")
