"""Signed calls of webhooks that others name, and the secrets they are signed with."""

import hashlib
import hmac
from typing import Final

SIGNATURE: Final = "Merhaba-Signature"
_SHORTEST_SECRET: Final = 16


def signature(secret: str, second: int, body: bytes) -> str:
    """`t=<seconds>,v1=<hex>`: HMAC-SHA-256 of `<seconds>.<body>`."""
    signed = hmac.new(secret.encode(), b"%d." % second + body, hashlib.sha256)
    return f"t={second},v1={signed.hexdigest()}"


def secrets_of(text: str) -> dict[str, str]:
    """Names with secrets, of `name:secret,name:secret`. Raises ValueError when it is something
    else; it tells no secret."""
    found: dict[str, str] = {}
    named = [name.strip() for name in text.split(",") if name.strip()]
    for number, one in enumerate(named, 1):
        name, colon, secret = one.partition(":")
        if not colon or not name or len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"number {number}: write it as name:secret, of at least 16 characters")
        found[name] = secret
    return found
