"""Where files may go. Whatever is wrong with a destination is said when it is named."""

from collections.abc import Callable, Container
from pathlib import Path

from chassis.addresses import OutboundRefused
from chassis.failures import FieldInvalid
from merhaba.reports.v1 import ExportDestination
from services.reports.exports.bucket import address
from services.reports.exports.delivering import inside
from services.reports.exports.nouns import Check
from services.reports.failures import DestinationUnusable, UrlRefused

_PATH = "schedule.destination"


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
                if not bucket.bucket:
                    raise FieldInvalid(f"{_PATH}.bucket.bucket", "missing; name the bucket")
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
