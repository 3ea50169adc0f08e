"""An authority of one's own in a folder, and certificates of the services: for laptops and tests.

On Kubernetes cert-manager does this. Each service gets `<service>.pem` and `<service>-key.pem`,
with the names that the mesh knows it by: `spiffe://merhaba/<service>`, and `<service>` for who
calls it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chassis.tls import TlsFiles

_AUTHORITY: Final = timedelta(days=3_650)
_SERVICE: Final = timedelta(days=30)
_RENEWED: Final = 1 / 3  # of its life that is left
_EARLIER: Final = timedelta(minutes=5)  # for clocks that differ


def files_of(folder: Path, service: str) -> TlsFiles:
    """Where a service's certificates lie."""
    return TlsFiles(folder / "ca.pem", folder / f"{service}.pem", folder / f"{service}-key.pem")


def issue(folder: Path, services: Sequence[str], now: datetime) -> None:
    """Make what is missing, and anew what will soon end or is not of this authority."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_file, ca_key_file = folder / "ca.pem", folder / "ca-key.pem"
    if not (ca_file.exists() and ca_key_file.exists() and _lasts(ca_file, now)):
        key, name = generate_private_key(SECP256R1()), _named("merhaba authority")
        made = (
            _begun(name, name, key, now, _AUTHORITY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
        )
        _write(ca_key_file, _pem(key))
        _write(ca_file, made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
    ca_key = load_pem_private_key(ca_key_file.read_bytes(), None)
    assert isinstance(ca_key, EllipticCurvePrivateKey)
    for service in services:
        _, file, key_file = files_of(folder, service)
        assert file is not None
        assert key_file is not None
        if file.exists() and key_file.exists() and _lasts(file, now) and _is_of(file, ca):
            continue
        key = generate_private_key(SECP256R1())
        made = (
            _begun(_named(service), ca.subject, key, now, _SERVICE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(
                    [
                        x509.UniformResourceIdentifier(f"spiffe://merhaba/{service}"),
                        x509.DNSName(service),
                    ]
                ),
                critical=False,
            )
        )
        _write(key_file, _pem(key))
        _write(file, made.sign(ca_key, SHA256()).public_bytes(Encoding.PEM))


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _lasts(file: Path, now: datetime) -> bool:
    found = x509.load_pem_x509_certificate(file.read_bytes())
    life = found.not_valid_after_utc - found.not_valid_before_utc
    return found.not_valid_after_utc - now > life * _RENEWED


def _is_of(file: Path, ca: x509.Certificate) -> bool:
    found = x509.load_pem_x509_certificate(file.read_bytes())
    try:
        found.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(file: Path, content: bytes) -> None:
    """In one step, for nobody else to read."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(file)
