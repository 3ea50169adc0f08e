"""Whom campaigns are for: members of a segment, people named one by one, or rows of a file."""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

import phonenumbers

from merhaba.event.v1 import Identity
from merhaba.profile.v1 import ContactRef
from services.sender.campaigns.people import Members, Person
from services.sender.campaigns.table import Row, rows
from services.sender.failures import FileNotFound, FileState, PreflightFailed
from services.sender.files.store import File, FileStore
from services.sender.model import AudienceFile, Campaign

_AT_ONCE: Final = 500
_KINDS: Final = {
    "wa_id": Identity.KIND_WA_ID,
    "bsuid": Identity.KIND_BSUID,
    "external_id": Identity.KIND_EXTERNAL_ID,
}
_SCOPED: Final = frozenset({"bsuid", "external_id"})
_LONGEST: Final = 256
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Sources(Protocol):
    """Other services, as audiences need them."""

    def members(self, segment_id: str, cursor: str) -> AsyncIterator[Members]:
        """Members of a segment as of the first call, from a cursor on. Raises SegmentNotFound."""
        ...

    async def segment_version(self, segment_id: str) -> int:
        """The version of a segment that is in force. Raises SegmentNotFound."""
        ...

    async def who(self, refs: Sequence[ContactRef]) -> list[str | None]:
        """The contacts that are meant, in order; None for whom nobody knows."""
        ...


class Audiences:
    """Implements `planner.Audience`."""

    def __init__(self, sources: Sources, files: FileStore) -> None:
        self._sources = sources
        self._files = files

    def members(self, campaign: Campaign) -> AsyncIterator[Members]:
        """The audience from the campaign's cursor on, people perhaps more than once.

        Raises SegmentNotFound, FileNotFound, FileState, and FieldInvalid for a file that is no
        table of people.
        """
        if campaign.segment_id:
            return self._sources.members(campaign.segment_id, campaign.plan_cursor)
        if campaign.file is not None:
            return self._rows(campaign.file, int(campaign.plan_cursor or 0))
        return self._named(campaign.people, int(campaign.plan_cursor or 0))

    async def find(self, audience: AudienceFile, now: int) -> File:
        """The file of an audience, complete or not. Raises FileNotFound."""
        return await self._files.get(audience.file_id, now)

    async def ready(self, audience: AudienceFile, now: int) -> File:
        """The file of an audience. Raises FileNotFound and FileState."""
        file = await self.find(audience, now)
        if not file.ready:
            raise FileState(
                "the file is not complete; send the rest",
                file_id=audience.file_id,
                state="uploading",
            )
        return file

    async def check(self, campaign: Campaign) -> None:
        """Whether an audience of which nobody was read yet is still what is meant. Raises
        SegmentNotFound, and PreflightFailed where another version of the segment is in force."""
        if not campaign.segment_id or campaign.plan_cursor:
            return
        version = await self._sources.segment_version(campaign.segment_id)
        if campaign.segment_version not in {0, version}:
            raise PreflightFailed(
                f"version {campaign.segment_version} of the segment is meant, and {version} is in"
                " force; make another campaign for that",
                campaign_id=campaign.campaign_id,
                problem="segment_version",
                count="1",
            )

    async def size(self, campaign: Campaign) -> int:
        """People, or rows, of an audience whose members come without saying it; 0 of a segment."""
        if campaign.file is None:
            return len(campaign.people)
        lines = 0
        async for part in self._files.parts(campaign.file.file_id):
            lines += part.count(b"\n")
        return lines

    async def _named(self, people: Sequence[bytes], start: int) -> AsyncIterator[Members]:
        for first in range(start, len(people), _AT_ONCE):
            refs = [ContactRef.FromString(one) for one in people[first : first + _AT_ONCE]]
            found = [one for one in await self._sources.who(refs) if one]
            yield Members(
                [Person(one) for one in found],
                str(first + len(refs)),
                len(refs) - len(found),
                len(people),
            )

    async def _rows(self, file: AudienceFile, start: int) -> AsyncIterator[Members]:
        part: list[Row] = []
        passed = 0
        async for row in rows(self._whole(file.file_id)):
            passed += 1
            if passed <= start:
                continue
            part.append(row)
            if len(part) == _AT_ONCE:
                yield await self._resolved(file, part, passed)
                part = []
        if part:
            yield await self._resolved(file, part, passed)

    async def _whole(self, file_id: str) -> AsyncIterator[bytes]:
        """The bytes of a file. Raises FileNotFound when it is removed before all are read: a part
        of an audience is not taken for the whole."""
        file, size = await self._files.find(file_id), 0
        async for part in self._files.parts(file_id):
            size += len(part)
            yield part
        if file is None or size < file.size_bytes:
            raise FileNotFound("the file of the audience was removed", file_id=file_id)

    async def _resolved(self, file: AudienceFile, part: Sequence[Row], passed: int) -> Members:
        meant = [(ref, row) for row in part if (ref := reference(row, file)) is not None]
        found = await self._sources.who([ref for ref, _ in meant]) if meant else []
        people = [
            Person(one, row.values) for one, (_, row) in zip(found, meant, strict=True) if one
        ]
        return Members(people, str(passed), len(part) - len(people))


def reference(row: Row, file: AudienceFile) -> ContactRef | None:
    """Whom a row names; None when it names nobody that could be."""
    if row.kind == "contact_id":
        return ContactRef(contact_id=row.name) if _UUID.fullmatch(row.name) else None
    if row.kind not in _KINDS or len(row.name) > _LONGEST:
        return None
    value = _digits(row.name, file.country_code) if row.kind == "wa_id" else row.name
    scope = file.identity_scope if row.kind in _SCOPED else ""
    if not value or (row.kind in _SCOPED and not scope):
        return None
    return ContactRef(identity=Identity(kind=_KINDS[row.kind], scope=scope, value=value))


def _digits(text: str, country: str) -> str:
    """The digits of E.164 of a number in any usual form; empty when it cannot be one. Digits alone
    are a number at home where they can be one, else one with its country code."""
    text = f"+{text[2:]}" if text.startswith("00") else text
    readings = [(text, country)] if country and not text.startswith("+") else []
    readings.append((text if text.startswith("+") else f"+{text}", ""))
    for written, region in readings:
        try:
            number = phonenumbers.parse(written, region or None)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number) or (
            not region and phonenumbers.is_possible_number(number)
        ):
            e164: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            return e164.removeprefix("+")
    return ""
