"""Who has signed in: a cookie that holds only a role and when it ends, signed with a key from the
token that was shown."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from services.reports.roles import Role

LASTS: Final = timedelta(hours=12)


def matches(given: str, tokens: Mapping[Role, str]) -> Role | None:
    """Whose token was given; tells nothing by how long it takes."""
    digest = _digest(given)
    found = [role for role, token in tokens.items() if hmac.compare_digest(digest, _digest(token))]
    return found[-1] if found else None


def issue(role: Role, token: str, now: datetime) -> str:
    """A cookie for whoever just showed the token of a role."""
    end = str(int((now + LASTS).timestamp()))
    return f"{end}.{role}.{_sign(token, role, end)}"


def holds(cookie: str, tokens: Mapping[Role, str], now: datetime) -> Role | None:
    """The role of a cookie that was issued for one of these tokens and has not ended."""
    end, _, rest = cookie.partition(".")
    named, _, signature = rest.partition(".")
    for role, token in tokens.items():
        given = signature.encode(errors="replace")  # bytes of a header need not be text
        signed = hmac.compare_digest(given, _sign(token, named, end).encode())
        if role == named and signed:
            return role if now.timestamp() < int(end) else None
    return None


def _sign(token: str, role: str, end: str) -> str:
    said = f"dashboard session {role} {end}".encode(errors="replace")
    return hmac.new(_digest(token), said, hashlib.sha256).hexdigest()


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode(errors="replace")).digest()
