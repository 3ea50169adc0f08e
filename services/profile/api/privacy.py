"""PrivacyService over gRPC: put together, with who read what."""

from dataclasses import dataclass
from typing import Any, Final

from chassis import paging
from chassis.answers import Answers
from chassis.clock import Clock
from chassis.times import milliseconds, timestamp
from merhaba.profile.v1 import (
    ListPersonalDataReadsRequest,
    ListPersonalDataReadsResponse,
    PersonalDataRead,
)
from services.profile.api.categories import CategoryApi
from services.profile.api.consents import ConsentApi
from services.profile.api.rights import RightsApi
from services.profile.contract import asked
from services.profile.person.directory import Directory
from services.profile.rights.category_store import CategoryStore
from services.profile.rights.erasing import Erasing
from services.profile.rights.erasures import Erasures
from services.profile.rights.exporting import Exporting
from services.profile.rights.ledger import Ledger
from services.profile.tables.reads import ReadQuery, Reads

_NEVER: Final = 1 << 62

Call = Any  # what grpc knows of a call; the guard has looked at it


@dataclass(frozen=True, slots=True)
class Rights:
    """What stands behind people's rights."""

    ledger: Ledger
    exporting: Exporting
    erasures: Erasures
    erasing: Erasing
    categories: CategoryStore
    controller: str
    """Who decides about the data, as records of consent name them."""


class PrivacyApi(ConsentApi, RightsApi, CategoryApi):
    """What people agreed to, and what is theirs to see, restrict and erase."""

    def __init__(
        self,
        directory: Directory,
        reads: Reads,
        answers: Answers,
        clock: Clock,
        region: str,
        rights: Rights,
    ) -> None:
        """`region`: of phone numbers without a country code."""
        self._directory = directory
        self._reads = reads
        self._answers = answers
        self._clock = clock
        self._region = region
        self._ledger = rights.ledger
        self._exporting = rights.exporting
        self._erasures = rights.erasures
        self._erasing = rights.erasing
        self._categories = rights.categories
        self._controller = rights.controller

    async def ListPersonalDataReads(
        self, request: ListPersonalDataReadsRequest, context: Call
    ) -> ListPersonalDataReadsResponse:
        """List who read personal data, newest first."""
        asking, size = paging.query(request), paging.size(request.page_size)
        before = paging.place(request.page_token, asking, [int, int])
        whom = asked.known_id(request.contact_id) if request.contact_id else ""
        (found,) = await self._directory.find([whom]) if whom else (None,)
        ids = found.ids if found else [whom] if whom else []
        query = ReadQuery(
            ids,
            request.caller,
            milliseconds(request.start_time),
            milliseconds(request.end_time) if request.HasField("end_time") else _NEVER,
        )
        reads = await self._reads.list(query, (before[0], before[1]) if before else None, size + 1)
        page, token = paging.page(asking, reads, size, lambda one: (one.time, one.read_id))
        return ListPersonalDataReadsResponse(
            reads=[
                PersonalDataRead(
                    read_time=timestamp(one.time),
                    caller=one.caller,
                    purpose=one.purpose,
                    method=one.method,
                    contact_id=one.contact_ids[0] if len(one.contact_ids) == 1 else "",
                    contact_ids=set(ids).intersection(one.contact_ids) if ids else one.contact_ids,
                    fields=one.fields,
                )
                for one in page
            ],
            next_page_token=token,
        )
