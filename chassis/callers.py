"""Who calls: a service by its certificate, people and tools by an API key, and what each may."""

from collections.abc import Iterable
from contextvars import ContextVar
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple, Protocol

from chassis.failures import Denied, FieldInvalid
from chassis.policy import Policy

INTERNAL: Final = "internal"
"""The role of the suite's own services. It is also the name of who has API_TOKEN, where nothing is
encrypted and no certificate tells one service from another: that one may call everything."""
_SPIFFE: Final = "spiffe://merhaba/"
_SCHEME: Final = "Bearer "
_LONGEST_PURPOSE: Final = 200


class RoleDenied(Denied):
    """The caller may not do this."""

    def __init__(self, role: str, what: str) -> None:
        super().__init__(f"the role {role!r} may not {what}", role=role)


class Caller(NamedTuple):
    """Somebody who may call."""

    name: str
    role: str
    calls_per_s: int = 0
    """How much it may call, over all replicas; 0 is what every such caller may."""


class Call(NamedTuple):
    """A call that is being served."""

    method: str
    """`merhaba.profile.v1.ProfileService/GetContact`."""
    caller: Caller
    purpose: str
    """What the caller said it is for; empty when it said nothing."""


call: Final[ContextVar[Call]] = ContextVar("call")
"""The call that this task serves."""


class Keys(Protocol):
    """Knows people and tools by what they carry."""

    def who(self, key: str) -> Caller | None:
        """Whose key it is now; None is nobody's."""
        ...


class Callers:
    """Everybody who may call, and what."""

    def __init__(
        self, api_token: str = "", keys: Keys | None = None, policy: Policy | None = None
    ) -> None:
        """`api_token`: of the suite's own services where they have no certificates; else empty.

        Without a policy only who has the token may do anything.
        """
        self._digest = digest(api_token) if api_token else ""
        self._keys = keys
        self._policy = policy

    def certified(self, names: Iterable[str]) -> Caller | None:
        """Who has a certificate of these names, one of them a SPIFFE identity; None is no service
        of ours."""
        ours = [n.removeprefix(_SPIFFE) for n in names if n.startswith(_SPIFFE)]
        if len(ours) != 1 or self._policy is None or ours[0] not in self._policy.services:
            return None
        return Caller(ours[0], INTERNAL)

    def bearer(self, authorization: str) -> Caller | None:
        """Who carries `Bearer <key>`; None is nobody we know. What is compared are digests, so the
        time that takes tells nothing of a key."""
        scheme, key = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :]
        if scheme != _SCHEME or not key:
            return None
        if self._digest and compare_digest(digest(key), self._digest):
            return Caller(INTERNAL, INTERNAL)
        return self._keys.who(key) if self._keys else None

    def check(self, caller: Caller, method: str) -> None:
        """Raises `RoleDenied` for a method that is not the caller's."""
        if caller.name == caller.role == INTERNAL:
            return
        subject = caller.name if caller.role == INTERNAL else caller.role
        if self._policy is None or not self._policy.allows(subject, method):
            raise RoleDenied(subject, f"call {method}")


def call_with_purpose() -> Call:
    """The call that this task serves, which reads personal data. Raises `FieldInvalid` when it does
    not say what for."""
    asked = call.get()
    if not 0 < len(asked.purpose) <= _LONGEST_PURPOSE:
        raise FieldInvalid(
            "metadata.purpose",
            "personal data is read for a purpose: send the metadata `purpose`, a few words of"
            f" {_LONGEST_PURPOSE} characters at most",
            limit=str(_LONGEST_PURPOSE),
        )
    return asked


def digest(key: str) -> str:
    """SHA-256 in hex. Keys are random and long, so a plain hash keeps them."""
    return sha256(key.encode()).hexdigest()
