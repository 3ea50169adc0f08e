"""Where files may go. Whatever is wrong with a destination is said when it is named."""

import re
from collections.abc import Callable, Container
from pathlib import Path
from typing import Final

from chassis.addresses import OutboundRefused
from chassis.failures import FieldInvalid
from merhaba.reports.v1 import ExportDestination
from services.reports.exports.bucket import address
from services.reports.exports.delivering import inside
from services.reports.exports.nouns import Check
from services.reports.failures import DestinationUnusable, UrlRefused

_PATH: Final = "schedule.destination"
_BUCKET: Final = (
    ("bucket", re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"), "no name of a bucket"),
    ("region", re.compile(r"[a-z0-9-]{0,40}"), "no name of a region; write it like eu-central-1"),
    ("endpoint", re.compile(r"(https?://[^/?#]+/?)?"), "no host; write it like https://s3.example"),
    # Dots would lead out of the bucket
    ("prefix", re.compile(r"(?!(.*/)?\.{1,2}(/|$))[^\x00-\x1f]{0,500}"), "dots or too long"),
)
"""How a bucket is named, since its parts become an address."""


def checker(
    callable_: Callable[[str], object],
    folder: Path | None,
    secrets: Container[str],
    credentials: Container[str],
) -> Check:
    """A check of destinations. `callable_`: raises `OutboundRefused` for addresses that are not
    called."""

    def url(given: str, field: str) -> None:
        try:
            callable_(given)
        except OutboundRefused as refused:
            raise UrlRefused(f"{_PATH}.{field}", str(refused)) from None

    def check(wanted: ExportDestination) -> None:
        match wanted.WhichOneof("destination"):
            case "webhook":
                url(wanted.webhook.url, "webhook.url")
                if wanted.webhook.secret_name not in secrets:
                    raise DestinationUnusable(f"{_PATH}.webhook.secret_name")
            case "bucket":
                bucket = wanted.bucket
                for field, form, problem in _BUCKET:
                    if not form.fullmatch(getattr(bucket, field)):
                        raise FieldInvalid(f"{_PATH}.bucket.{field}", problem)
                url(address(bucket.endpoint, bucket.region, bucket.bucket, "x"), "bucket.endpoint")
                if bucket.credential_name not in credentials:
                    raise DestinationUnusable(f"{_PATH}.bucket.credential_name")
            case "folder":
                if folder is None:
                    raise DestinationUnusable(f"{_PATH}.folder")
                if inside(folder, wanted.folder) is None:
                    raise FieldInvalid(f"{_PATH}.folder", "not below the folder for exports")
            case _:
                raise FieldInvalid(_PATH, "missing; give a webhook, a folder or a bucket")

    return check
