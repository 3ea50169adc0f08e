"""Ids of messages, templates and media. Pure."""

import base64
from itertools import count


class Ids:
    """Ids that differ between runs when the nonce (at least 8 bytes) does."""

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._first = int.from_bytes(nonce[:6], "big") + 10**15
        self._count = count(1)

    def wamid(self) -> str:
        raw = self._nonce + next(self._count).to_bytes(6, "big")
        return "wamid.HBgM" + base64.b64encode(raw).decode()

    def number(self) -> str:
        return str(self._first + next(self._count))
