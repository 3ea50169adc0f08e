"""Certificates in files, read again when they change: those of a server and those of who calls.

Files are replaced while the process runs (cert-manager, `merhaba run`), one after the other or all
at once. A pair that does not belong together is taken for half of a change and waited out.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chassis.failures import Misconfigured

_SETTINGS: Final = "TLS_CERT_FILE, TLS_KEY_FILE, TLS_CA_FILE"
_logger = structlog.get_logger()


class TlsFiles(NamedTuple):
    """Where certificates lie, in PEM."""

    ca: Path
    """Authorities that the other side's certificate must come from."""
    cert: Path | None = None
    """Our own certificate with what leads to its authority; None is nobody in particular."""
    key: Path | None = None


class Pems(NamedTuple):
    """What the files hold."""

    ca: bytes
    cert: bytes | None = None
    key: bytes | None = None


class Certificates:
    """What the files hold now, for one who looks after them."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises `Misconfigured` when they cannot be used."""
        self._files = files
        self._seen = self._look()
        self.pems = self._read()

    def renewed(self) -> bool:
        """Whether `pems` changed since it was asked last. What cannot be used changes nothing."""
        looks = self._look()
        if looks == self._seen:
            return False
        try:
            self.pems = self._read()
        except Misconfigured as error:
            _logger.warning("certificates stay as they were", error=str(error))
            return False
        self._seen = looks
        return True

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stat(file) for file in self._files if file is not None)

    def _read(self) -> Pems:
        ca = _bytes(self._files.ca)
        if self._files.cert is None or self._files.key is None:
            return Pems(ca)
        cert, key = _bytes(self._files.cert), _bytes(self._files.key)
        _check_pair(cert, key)
        return Pems(ca, cert, key)


def _bytes(file: Path) -> bytes:
    """Raises `Misconfigured`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{_SETTINGS}: {file} cannot be read ({error.strerror})") from None


def _stat(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _check_pair(cert: bytes, key: bytes) -> None:
    try:
        public = x509.load_pem_x509_certificate(cert).public_key()
        own = load_pem_private_key(key, None).public_key()
    except ValueError:
        raise Misconfigured(f"{_SETTINGS}: these are no PEM files without a password") from None
    if public != own:
        raise Misconfigured(f"{_SETTINGS}: the key is not the certificate's")


def server_credentials(files: TlsFiles, *, clients: bool) -> grpc.ServerCredentials:
    """For a port whose callers show a certificate of our authorities (`clients`), or none at all:
    gRPC's Python can demand one or not ask, but not take one that happens to be shown."""
    certificates = Certificates(files)

    def configuration() -> grpc.ServerCertificateConfiguration:
        ca, cert, key = certificates.pems
        assert cert is not None, "a server has a certificate"
        assert key is not None
        return grpc.ssl_server_certificate_configuration([(key, cert)], ca if clients else None)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        """Asked at each handshake, on a thread of gRPC's."""
        return configuration() if certificates.renewed() else None

    fetch: Any = renewed  # may answer None, though its type does not say so
    return grpc.dynamic_ssl_server_credentials(configuration(), fetch, clients)


def channel_credentials(pems: Pems) -> grpc.ChannelCredentials:
    """Of who calls."""
    return grpc.ssl_channel_credentials(pems.ca, pems.key, pems.cert)
