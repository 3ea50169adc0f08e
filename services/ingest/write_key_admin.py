"""The calls of IngestAdminService about write keys."""

import re
from datetime import UTC, datetime
from typing import Final

import structlog

from chassis import paging
from chassis.answers import Answers
from chassis.clock import Clock
from chassis.failures import FieldInvalid
from chassis.ids import derived_id, fresh_id
from chassis.times import stamped
from merhaba.ingest.v1.ingest_admin_service_pb2 import (
    CreateWriteKeyRequest,
    CreateWriteKeyResponse,
    ListWriteKeysRequest,
    ListWriteKeysResponse,
    RevokeWriteKeyRequest,
    RevokeWriteKeyResponse,
    UpdateWriteKeyRequest,
    UpdateWriteKeyResponse,
)
from merhaba.ingest.v1.write_key_pb2 import WriteKey as WireKey
from services.ingest.failures import WriteKeyNotFound
from services.ingest.write_key_store import WriteKeyStore
from services.ingest.write_keys import WriteKey, etag_of, hash_of, new_secret, prefix_of

_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_ID: Final = re.compile(r"wk_[a-z0-9]{1,60}")
_ETAG: Final = re.compile(r"e(\d{1,9})")
_NEVER: Final = 0  # versions begin at 1
_LIMIT: Final = "max_events_per_second"
_logger = structlog.get_logger()


class WriteKeyAdmin:
    """Makes, lists, changes and ends write keys."""

    def __init__(self, keys: WriteKeyStore, answers: Answers, clock: Clock) -> None:
        self._keys = keys
        self._answers = answers
        self._clock = clock

    async def create(self, request: CreateWriteKeyRequest) -> CreateWriteKeyResponse:
        """A new key, and this once its secret."""
        given, now = request.write_key, self._clock.now()
        if not _NAME.fullmatch(given.name):
            raise FieldInvalid("write_key.name", "is not 1 to 64 letters, digits and hyphens")
        if given.source and not _NAME.fullmatch(given.source):
            raise FieldInvalid("write_key.source", "is not 1 to 64 letters, digits and hyphens")
        secret = new_secret()
        wanted = WriteKey(
            # A repeat that finds no answer finds the key
            write_key_id=derived_id("wk", request.request_id)
            if request.request_id
            else fresh_id("wk"),
            name=given.name,
            source=given.source or given.name,
            secret_hash=hash_of(secret),
            secret_prefix=prefix_of(secret),
            max_events_per_second=_limit(given),
            version=1,
            create_time=now,
        )
        made = False

        async def respond() -> CreateWriteKeyResponse:
            nonlocal made
            key, made = await self._keys.create(wanted)
            return CreateWriteKeyResponse(write_key=_told(key, now))

        answer = await self._answers.once(
            request, request.request_id, respond, CreateWriteKeyResponse
        )
        if made:
            # Beside the answer that is kept, not in it
            answer.secret = secret
            _logger.info("write key made", id=wanted.write_key_id)
        return answer

    async def list(self, request: ListWriteKeysRequest) -> ListWriteKeysResponse:
        """By name."""
        asked, size = paging.query(request), paging.size(request.page_size)
        (after,) = paging.place(request.page_token, asked, [str]) or ("",)
        now = self._clock.now()
        found = await self._keys.page(now, request.show_revoked, after, size + 1)
        page, token = paging.page(asked, found, size, lambda key: [key.name])
        return ListWriteKeysResponse(
            write_keys=[_told(key, now) for key in page],
            next_page_token=token,
        )

    async def update(self, request: UpdateWriteKeyRequest) -> UpdateWriteKeyResponse:
        """A key with its new limit."""
        given = request.write_key
        key_id = _known(given.write_key_id)
        wanted = _limit(given)
        for path in request.update_mask.paths:
            if path != _LIMIT:
                raise FieldInvalid("update_mask", f"only {_LIMIT} can be changed")
        changed = wanted if wanted or request.update_mask.paths else None
        version = None
        if given.etag:
            etag = _ETAG.fullmatch(given.etag)
            version = int(etag[1]) if etag else _NEVER

        async def respond() -> UpdateWriteKeyResponse:
            key = await self._keys.limit(key_id, version, changed)
            _logger.info("write key changed", id=key_id)
            return UpdateWriteKeyResponse(write_key=_told(key, self._clock.now()))

        return await self._answers.once(
            request, request.request_id, respond, UpdateWriteKeyResponse
        )

    async def revoke(self, request: RevokeWriteKeyRequest) -> RevokeWriteKeyResponse:
        """A key with its end."""
        key_id, now = _known(request.write_key_id), self._clock.now()
        at = max(_moment(request), now) if request.HasField("revoke_time") else now

        async def respond() -> RevokeWriteKeyResponse:
            key = await self._keys.revoke(key_id, at, now)
            _logger.info("write key ends", id=key_id)
            return RevokeWriteKeyResponse(write_key=_told(key, now))

        return await self._answers.once(
            request, request.request_id, respond, RevokeWriteKeyResponse
        )


def _limit(given: WireKey) -> int:
    if given.max_events_per_second < 0:
        raise FieldInvalid(f"write_key.{_LIMIT}", "is negative; leave it out for the usual limit")
    return given.max_events_per_second


def _known(write_key_id: str) -> str:
    if not _ID.fullmatch(write_key_id):
        raise WriteKeyNotFound(write_key_id)
    return write_key_id


def _moment(request: RevokeWriteKeyRequest) -> datetime:
    try:
        return request.revoke_time.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise FieldInvalid("revoke_time", "is no time") from None


def _told(key: WriteKey, now: datetime) -> WireKey:
    return WireKey(
        write_key_id=key.write_key_id,
        name=key.name,
        source=key.source,
        max_events_per_second=key.max_events_per_second,
        state=WireKey.STATE_REVOKED if key.ended(now) else WireKey.STATE_ACTIVE,
        secret_prefix=key.secret_prefix,
        create_time=stamped(key.create_time),
        revoke_time=stamped(key.revoke_time),
        last_use_time=stamped(key.last_use_time),
        etag=etag_of(key.version),
    )
