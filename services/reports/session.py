"""Who has signed in: a cookie that holds only when it ends, signed with a key from the token."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

LASTS: Final = timedelta(hours=12)


def matches(given: str, token: str) -> bool:
    """Whether what was given is the token; tells nothing by how long it takes."""
    return hmac.compare_digest(_digest(given), _digest(token))


def issue(token: str, now: datetime) -> str:
    """A cookie for whoever just showed the token."""
    end = str(int((now + LASTS).timestamp()))
    return f"{end}.{_sign(token, end)}"


def holds(cookie: str, token: str, now: datetime) -> bool:
    """Whether a cookie was issued for this token and has not ended."""
    end, _, signature = cookie.partition(".")
    if not hmac.compare_digest(signature.encode(), _sign(token, end).encode()):
        return False
    return now.timestamp() < int(end)


def _sign(token: str, end: str) -> str:
    return hmac.new(_digest(token), f"dashboard session {end}".encode(), hashlib.sha256).hexdigest()


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()
