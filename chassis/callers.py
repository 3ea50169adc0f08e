"""Who calls: named by the token that a call carries, with the role that goes with it."""

import re
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from hashlib import sha256
from typing import Final, NamedTuple

from chassis.failures import Denied, FieldInvalid, Misconfigured

INTERNAL: Final = "internal"
"""The role, and the name, of the suite's own services: they carry API_TOKEN and may do all."""
_NAMED: Final = re.compile(r"([a-z0-9_.-]{1,64}):([a-z_]{1,32}):([0-9a-f]{64})")
_SCHEME: Final = "Bearer "
_LONGEST_PURPOSE: Final = 200


class RoleDenied(Denied):
    """The caller's role may not do this."""

    def __init__(self, role: str, what: str) -> None:
        super().__init__(f"the role {role!r} may not {what}", role=role)


class Caller(NamedTuple):
    """Somebody who may call."""

    name: str
    role: str


class Call(NamedTuple):
    """A call that is being served."""

    method: str
    """`merhaba.profile.v1.ProfileService/GetContact`."""
    caller: Caller
    purpose: str
    """What the caller said it is for; empty when it said nothing."""


call: Final[ContextVar[Call]] = ContextVar("call")
"""The call that this task serves."""


class Callers:
    """Callers by their tokens, and what they may call: all of it, or what their role may."""

    def __init__(
        self, api_token: str, named: str = "", roles: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """`named`: `name:role:SHA-256 of the token in hex`, comma-separated. Tokens are random and
        long (`openssl rand -hex 32`), so that a plain hash keeps them.

        `roles`: the methods that a role may call. Raises `Misconfigured`.
        """
        self._roles = roles or {}
        self._callers = {_digest(api_token): Caller(INTERNAL, INTERNAL)}
        for part in filter(None, (part.strip() for part in named.split(","))):
            found = _NAMED.fullmatch(part)
            if found is None:
                raise Misconfigured("CALLERS: write `name:role:SHA-256 of the token in hex`, …")
            name, role, digest = found.groups()
            if role != INTERNAL and role not in self._roles:
                raise Misconfigured(
                    f"CALLERS: {name} has the role {role}; there are {INTERNAL},"
                    f" {', '.join(self._roles)}"
                )
            if digest in self._callers:
                raise Misconfigured(f"CALLERS: {name} has somebody else's token")
            self._callers[digest] = Caller(name, role)

    def who(self, authorization: str) -> Caller | None:
        """Who carries `Bearer <token>`; None is nobody we know. What is compared are digests, so
        the time that takes tells nothing of a token."""
        scheme, token = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :]
        return self._callers.get(_digest(token)) if scheme == _SCHEME else None

    def check(self, caller: Caller, method: str) -> None:
        """Raises `RoleDenied` for a method that is not the caller's."""
        if caller.role != INTERNAL and method not in self._roles[caller.role]:
            raise RoleDenied(caller.role, f"call {method}")


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


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
