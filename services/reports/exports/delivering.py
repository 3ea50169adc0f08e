"""Delivers files of schedules: to a folder, a bucket or a webhook; at least once, for a day."""

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from chassis.addresses import OutboundRefused
from chassis.clock import Clock, milliseconds_of
from chassis.outbound import Outbound
from chassis.transient import keep_at
from chassis.webhooks import SIGNATURE
from merhaba.reports.v1 import (
    BucketDestination,
    ExportDestination,
    ExportSchedule,
    WebhookDestination,
)
from services.reports.exports.bucket import Credential, address, signed
from services.reports.exports.model import MIME_TYPES, Export
from services.reports.exports.store import ExportStore

EXPORT: Final = "Merhaba-Export-Id"
TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=10, sock_read=60)
CONNECTIONS: Final = 4
_LOOK: Final = timedelta(seconds=2)
_FIRST_WAIT: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = timedelta(hours=2)
_DOUBLINGS: Final = 7
_TRIED_FOR: Final = timedelta(days=1)
_AT_ONCE: Final = 4
_LONGEST_TRY: Final = timedelta(minutes=9)
"""Less than nobody else tries the same: whoever takes a file slowly keeps others waiting."""
_logger = structlog.get_logger()


class Deliverer:
    """Brings files to where their schedules want them."""

    def __init__(
        self,
        store: ExportStore,
        calls: Outbound,
        clock: Clock,
        folder: Path | None,
        secrets: Mapping[str, str],
        credentials: Mapping[str, Credential],
    ) -> None:
        """`folder`: below which files may be put; None: nowhere."""
        self._store = store
        self._calls = calls
        self._clock = clock
        self._folder = folder
        self._secrets = secrets
        self._credentials = credentials

    async def run(self) -> None:
        """Deliver, until cancelled."""
        await keep_at(self.deliver, self._clock, _LOOK, "files not delivered")

    async def deliver(self) -> bool:
        """Try one; returns whether there was one."""
        now = self._clock.now()
        one = await self._store.due(now)
        if one is None:
            return False
        schedule = await self._store.schedule(one.schedule_id)
        if schedule is None:  # deleted meanwhile: nobody wants it any more
            await self._store.delivered(one, None, "")
            return True
        wanted = ExportSchedule.FromString(schedule.schedule).destination
        problem = await self._try(one, wanted)
        again = None
        if problem:
            _logger.warning("file not delivered", export_id=one.export_id, problem=problem)
            wait = min(_FIRST_WAIT * 2 ** min(one.deliveries - 1, _DOUBLINGS), _LONGEST_WAIT)
            again = now + wait
            if one.complete_time is not None and again > one.complete_time + _TRIED_FOR:
                again = None
        await self._store.delivered(one, again, problem)
        return True

    async def _try(self, one: Export, wanted: ExportDestination) -> str:
        """What went wrong, or nothing."""
        try:
            async with asyncio.timeout(_LONGEST_TRY.total_seconds()):
                match wanted.WhichOneof("destination"):
                    case "folder":
                        return await self._put(one, wanted.folder)
                    case "bucket":
                        return await self._upload(one, wanted.bucket)
                    case _:
                        return await self._post(one, wanted.webhook)
        except OutboundRefused as refused:
            return f"not called: {refused}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Only what kind of failure it was: an address may carry a token
            return type(error).__name__

    async def _put(self, one: Export, below: str) -> str:
        target = inside(self._folder, below)
        if target is None:
            return "there is no such folder; see the setting EXPORT_FOLDER"
        await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
        unfinished = target / f".{one.export_id}"
        file = await asyncio.to_thread(unfinished.open, "wb")
        try:
            async for piece in self._pieces(one):
                await asyncio.to_thread(file.write, piece)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())  # what was delivered survives
        finally:
            await asyncio.to_thread(file.close)
        await asyncio.to_thread(unfinished.rename, target / f"{one.export_id}-{one.filename}")
        return ""

    async def _upload(self, one: Export, bucket: BucketDestination) -> str:
        credential = self._credentials.get(bucket.credential_name)
        if credential is None:
            return "no such credential in EXPORT_CREDENTIALS"
        region = bucket.region or "us-east-1"
        name = f"{bucket.prefix}{one.export_id}-{one.filename}"
        url = address(bucket.endpoint, region, bucket.bucket, name)
        headers = signed(url, region, one.sha256, credential, self._clock.now())
        return await self._send("PUT", url, one, headers)

    async def _post(self, one: Export, webhook: WebhookDestination) -> str:
        secret = self._secrets.get(webhook.secret_name)
        if secret is None:
            return "no such secret in WEBHOOK_SECRETS"
        second = milliseconds_of(self._clock.now()) // 1000
        digest = hmac.new(secret.encode(), b"%d." % second, hashlib.sha256)
        async for piece in self._pieces(one):  # once to sign it, once to send it
            digest.update(piece)
        headers = {
            EXPORT: one.export_id,
            SIGNATURE: f"t={second},v1={digest.hexdigest()}",
            "Merhaba-Filename": one.filename,
        }
        return await self._send("POST", webhook.url, one, headers)

    async def _send(self, method: str, url: str, one: Export, headers: Mapping[str, str]) -> str:
        told = {
            **headers,
            "Content-Type": MIME_TYPES[one.filename.rpartition(".")[2]],
            "Content-Length": str(one.size_bytes),
        }
        async with self._calls.request(
            method, url, data=self._pieces(one), headers=told
        ) as response:
            return "" if 200 <= response.status < 300 else f"it answered {response.status}"

    async def _pieces(self, one: Export) -> AsyncIterator[bytes]:
        start = 0
        while start < one.size_bytes:
            found = await self._store.pieces(one, start, _AT_ONCE)
            if not found:
                raise OSError("its file is gone")
            for _, piece in found:
                start += len(piece)
                yield piece


def inside(folder: Path | None, below: str) -> Path | None:
    """A folder below another; None where it is not, or there is none."""
    if folder is None:
        return None
    base = folder.resolve()
    target = (base / below).resolve()
    return target if target == base or base in target.parents else None
