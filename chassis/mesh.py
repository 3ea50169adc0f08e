"""How one service is called and calls the others: by its settings and the one policy."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc

from chassis.audit import Audit
from chassis.callers import Callers
from chassis.clock import Clock
from chassis.keys import KeyFile
from chassis.limits import Limits
from chassis.policy import Policy, owner
from chassis.rpc import Credentials, channel, server
from chassis.settings import ServiceSettings
from chassis.tls import TlsFiles


class Mesh:
    """The place of one service among the others."""

    def __init__(
        self,
        service: str,
        settings: ServiceSettings,
        policy: Policy,
        limits: Limits,
        audit: Audit,
        clock: Clock,
    ) -> None:
        """Raises `Misconfigured` when keys or certificates cannot be used."""
        self._service = service
        self._settings = settings
        self._policy = policy
        self._clock = clock
        self._limits = limits
        self._audit = audit
        keys = KeyFile(Path(settings.keys_file), policy, clock) if settings.keys_file else None
        self._callers = Callers(api_token(settings), keys, policy)

    def server(self) -> grpc.aio.Server:
        """A server for whomever the policy names."""
        return server(self._service, self._callers, self._limits, self._audit)

    def channel(
        self, other: str, target: str, purpose: str = "", *, waits: bool = False
    ) -> AbstractAsyncContextManager[grpc.aio.Channel]:
        """A channel to another service, for what the policy lets this one call there. `purpose` and
        `waits`: as of `chassis.rpc.channel`."""
        credentials = Credentials(api_token(self._settings), tls_files(self._settings), other)
        methods = [m for m in self._policy.called_by(self._service) if owner(m) == other]
        return channel(target, credentials, methods, purpose, self._clock, waits=waits)


def tls_files(settings: ServiceSettings) -> TlsFiles | None:
    """Where this service's certificates lie; None where nothing is encrypted."""
    if settings.plaintext:
        return None
    ca, cert, key = settings.tls_ca_file, settings.tls_cert_file, settings.tls_key_file
    return TlsFiles(Path(ca), Path(cert), Path(key))


def api_token(settings: ServiceSettings) -> str:
    """What services are known by where they have no certificates."""
    return settings.api_token.get_secret_value() if settings.plaintext else ""
