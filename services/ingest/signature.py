"""Meta's signature over the raw bytes of a webhook, and other comparisons in constant time."""

import hmac
from collections.abc import Sequence
from typing import Final, NamedTuple

_PREFIX: Final = "sha256="


class AppSecret(NamedTuple):
    """The secret of one Meta app. Two of one name are a rotation: both hold."""

    app: str
    secret: bytes


def app_secrets(setting: str) -> list[AppSecret]:
    """`secret,secret` or `app:secret,app:secret`; an app without a name gets its position."""
    secrets: list[AppSecret] = []
    for position, part in enumerate(filter(None, map(str.strip, setting.split(","))), 1):
        name, colon, secret = part.partition(":")
        secrets.append(
            AppSecret(*((name, secret.encode()) if colon else (str(position), part.encode())))
        )
    return secrets


def signed_by(body: bytes, header: str, secrets: Sequence[AppSecret]) -> str | None:
    """The app whose secret signed `body`, by `X-Hub-Signature-256`; None when none did."""
    given = header.encode(errors="replace")
    for app, secret in secrets:
        expected = _PREFIX + hmac.digest(secret, body, "sha256").hex()
        if hmac.compare_digest(expected.encode(), given):
            return app
    return None


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, found out in the same time either way."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
