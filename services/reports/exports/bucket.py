"""Puts a file into a bucket with an S3 interface: one signed PUT (AWS Signature Version 4)."""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote

from yarl import URL

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_AWS: Final = "https://s3.{region}.amazonaws.com"
_SIGNED: Final = "host;x-amz-content-sha256;x-amz-date"


class Credential(NamedTuple):
    """Who puts it there."""

    access_key: str
    secret_key: str


def credentials_of(text: str) -> dict[str, Credential]:
    """Credentials by name, of `name:access key:secret key`, comma-separated. Raises ValueError that
    tells no secret."""
    found: dict[str, Credential] = {}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for number, part in enumerate(parts, 1):
        name, _, keys = part.partition(":")
        access, _, secret = keys.partition(":")
        if not name or not access or not secret:
            raise ValueError(f"number {number}: write it as name:access key:secret key")
        found[name] = Credential(access, secret)
    return found


def address(endpoint: str, region: str, bucket: str, name: str) -> str:
    """Where an object of a bucket is, by path. `endpoint`: empty for AWS."""
    base = (endpoint or _AWS.format(region=region)).rstrip("/")
    return f"{base}/{quote(bucket, safe='')}/{quote(name, safe='/')}"


def signed(
    url: str, region: str, sha256: str, credential: Credential, now: datetime
) -> dict[str, str]:
    """Headers that sign a PUT of a body with this hash (hexadecimal)."""
    target = URL(url, encoded=True)
    host = target.host or ""
    if target.explicit_port is not None:
        host = f"{host}:{target.explicit_port}"
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    canonical = "\n".join(
        (
            "PUT",
            target.raw_path,
            "",
            f"host:{host}",
            f"x-amz-content-sha256:{sha256}",
            f"x-amz-date:{stamp}",
            "",
            _SIGNED,
            sha256,
        )
    )
    said = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credential.secret_key}".encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, said.encode(), hashlib.sha256).hexdigest()
    return {
        "x-amz-date": stamp,
        "x-amz-content-sha256": sha256,
        "Authorization": (
            f"{_ALGORITHM} Credential={credential.access_key}/{scope},"
            f" SignedHeaders={_SIGNED}, Signature={signature}"
        ),
    }
