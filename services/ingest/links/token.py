"""A link's token: what it says, in few bytes, signed. Pure.

A version byte, the number of the target, the second of its expiry, who it is for, and a truncated
HMAC-SHA256 of all that; in URL-safe base64. For an own message and a contact it is about 70
characters long.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from chassis.failures import Misconfigured

LAST_S: Final = 2**32 - 1
"""The last second, of the year 2106, at which a token can expire."""

ID_BYTES: Final = 200
"""An id is at most so long in UTF-8."""

_VERSION: Final = 1
# 80 bits: somebody who tries ten thousand tokens a second has guessed none in a million years
_TAG_BYTES: Final = 10
_KEY_LENGTH: Final = 16
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{22,640}", re.ASCII)
_SECOND_BYTES: Final = 4
_RAW_BYTES: Final = 16
# What stands before an id: the length of a text, or one of these and 16 bytes
_UUID: Final = 255
_OWN: Final = 254
_OWN_PREFIX: Final = "msg_"  # ids of messages as the sender derives them: 128 bits in base 32


class Token(NamedTuple):
    """What a token says."""

    target: int
    """Number of the registered target."""
    expire_s: int
    """Epoch seconds, UTC; from then on it leads nowhere."""
    message_id: str = ""
    contact_id: str = ""


def link_keys(setting: str) -> list[bytes]:
    """Keys as the setting holds them: `key,older key`. Raises `Misconfigured`."""
    keys = [key.strip().encode() for key in setting.split(",") if key.strip()]
    if not keys or any(len(key) < _KEY_LENGTH for key in keys):
        raise Misconfigured(
            f"LINK_KEY: give a random key of at least {_KEY_LENGTH} characters, or several with"
            " commas between them"
        )
    return keys


class Signer:
    """Makes tokens, and reads those that it made."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """The first key signs; all of them verify, so that one can take another's place."""
        self._keys = keys

    def sign(self, token: Token) -> str:
        """The token as text; the same token is the same text as long as the key is."""
        said = b"".join(
            (
                bytes((_VERSION,)),
                _number(token.target),
                token.expire_s.to_bytes(_SECOND_BYTES, "big"),
                _packed(token.message_id),
                _packed(token.contact_id),
            )
        )
        return _text(said + _tag(self._keys[0], said))

    def read(self, text: str) -> Token | None:
        """What a text says; None when it is no token that one of the keys signed."""
        if not _FORM.fullmatch(text):
            return None
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            return None
        said, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        if not any(hmac.compare_digest(_tag(key, said), tag) for key in self._keys):
            return None
        # Base64 has several texts for the same bytes; only one of them is the token
        if said[0] != _VERSION or _text(raw) != text:
            return None
        target, at = _read_number(said, 1)
        expire_s = int.from_bytes(said[at : at + _SECOND_BYTES], "big")
        message_id, at = _unpacked(said, at + _SECOND_BYTES)
        contact_id, _ = _unpacked(said, at)
        return Token(target, expire_s, message_id, contact_id)


def _tag(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, "sha256")[:_TAG_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    said = bytearray()
    while value > 0x7F:
        said.append(value & 0x7F | 0x80)
        value >>= 7
    said.append(value)
    return bytes(said)


def _read_number(said: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while said[at] & 0x80:
        value |= (said[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | said[at] << shift, at + 1


def _packed(text: str) -> bytes:
    """An id in few bytes. What would not come back exactly as it is stays text."""
    for form, raw in ((_UUID, _uuid_bytes(text)), (_OWN, _own_bytes(text))):
        if raw is not None and _unpacked(packed := bytes((form,)) + raw, 0)[0] == text:
            return packed
    plain = text.encode()
    assert len(plain) <= ID_BYTES, "whoever takes an id from outside checks its length"
    return bytes((len(plain),)) + plain


def _unpacked(said: bytes, at: int) -> tuple[str, int]:
    form, at = said[at], at + 1
    end = at + (form if form < _OWN else _RAW_BYTES)
    raw = said[at:end]
    if form == _UUID:
        digits = raw.hex()  # a fifth of the time that a UUID takes to be written
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return "-".join(parts), end
    if form == _OWN:
        return _OWN_PREFIX + base64.b32encode(raw).decode().rstrip("=").lower(), end
    return raw.decode(), end


def _uuid_bytes(text: str) -> bytes | None:
    try:
        return UUID(text).bytes
    except ValueError:
        return None


def _own_bytes(text: str) -> bytes | None:
    if not text.startswith(_OWN_PREFIX):
        return None
    try:
        raw = base64.b32decode(text.removeprefix(_OWN_PREFIX).upper() + "======")
    except ValueError:
        return None
    return raw if len(raw) == _RAW_BYTES else None
