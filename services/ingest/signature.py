"""Meta's signature over the raw bytes of a webhook, and other comparisons in constant time."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

_PREFIX: Final = "sha256="
_BLOCK: Final = 64  # bytes of SHA-256
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class AppSecret:
    """The secret of one Meta app. Two of one name are a rotation: both hold.

    It is kept as the two hashes that an HMAC begins with (RFC 2104), so that each webhook costs
    its own bytes only: `hmac` would set the key up again each time, at twice the price.
    """

    def __init__(self, app: str, secret: bytes) -> None:
        self.app = app
        key = hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret
        key = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(key.translate(_INNER))
        self._outer = hashlib.sha256(key.translate(_OUTER))

    def signature(self, body: bytes) -> str:
        """HMAC-SHA256 of `body`, in hex."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(body)
        outer.update(inner.digest())
        return outer.hexdigest()


def app_secrets(setting: str) -> list[AppSecret]:
    """`secret,secret` or `app:secret,app:secret`; an app without a name gets its position."""
    secrets: list[AppSecret] = []
    for position, part in enumerate(filter(None, map(str.strip, setting.split(","))), 1):
        name, colon, secret = part.partition(":")
        given = (name, secret.encode()) if colon else (str(position), part.encode())
        secrets.append(AppSecret(*given))
    return secrets


def signed_by(body: bytes, header: str, secrets: Sequence[AppSecret]) -> str | None:
    """The app whose secret signed `body`, by `X-Hub-Signature-256`; None when none did."""
    given = header.encode(errors="replace")
    for secret in secrets:
        expected = _PREFIX + secret.signature(body)
        if hmac.compare_digest(expected.encode(), given):
            return secret.app
    return None


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, found out in the same time either way."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
