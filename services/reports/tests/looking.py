"""The dashboard with everything it asks, for tests."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from grpc import StatusCode

from chassis.answers import Answers as Firsts
from chassis.clock import ManualClock
from chassis.failures import NotFound
from chassis.outbound import outbound
from chassis.postgres import Pool
from chassis.rpc import channel, server
from merhaba.event.v1 import Identity
from merhaba.profile.v1 import (
    Attribute,
    Contact,
    GetContactResponse,
    KnownIdentity,
    ProfileServiceServicer,
    ProfileServiceStub,
    add_ProfileServiceServicer_to_server,
)
from services.reports.alerts.api import AlertApi
from services.reports.alerts.deliveries import CONNECTIONS, TIMEOUT
from services.reports.alerts.store import AlertStore
from services.reports.answers.answering import Answers
from services.reports.answers.kept import Kept
from services.reports.api import ReportApi
from services.reports.chronicle.api import timeline_reads
from services.reports.dashboard.people import People
from services.reports.dashboard.reading import Reading
from services.reports.dashboard.views import Sources
from services.reports.exports.api import ExportApi
from services.reports.exports.beginning import Beginning
from services.reports.exports.contents import Contents
from services.reports.exports.destinations import checker
from services.reports.exports.making import Maker
from services.reports.exports.store import ExportStore
from services.reports.ledger import Ledger

TOKEN = "a token of the suite's services"
PHONE = "905321234567"
NAME = "Ayşe Yılmaz"


class Profiles(ProfileServiceServicer):
    """Knows one person, by number and by any id."""

    def __init__(self) -> None:
        self.purposes: list[str] = []

    async def GetContact(  # noqa: N802 - the contract's
        self, request: Any, context: Any
    ) -> GetContactResponse:
        """That person."""
        identity = request.contact.identity
        if identity.value and identity.value != PHONE:
            await context.abort(StatusCode.NOT_FOUND, "nobody")
        known = KnownIdentity(identity=Identity(kind=Identity.KIND_WA_ID, value=PHONE))
        return GetContactResponse(
            contact=Contact(
                contact_id=request.contact.contact_id or "con_of_the_number",
                identities=[known],
                attributes=[Attribute(name="name", value_json=f'"{NAME}"'.encode())],
            )
        )


class NoExperiments:
    """No campaign has one."""

    async def GetExperimentReport(  # noqa: N802 - the contract's
        self, _request: Any, _context: Any
    ) -> Any:
        """Never."""
        raise NotFound("none")


async def _no_lifts(_campaign_id: str, _conversion_id: str) -> list[Any]:
    return []


@asynccontextmanager
async def looking(
    pool: Pool, ledger: Ledger, clock: ManualClock, folder: Path | None = None
) -> AsyncIterator[tuple[Sources, Maker]]:
    """Where the dashboard's figures come from, and what makes its files."""
    firsts = Firsts(pool, clock)
    nobody: Any = None  # no page and no file asks Meta
    reports = ReportApi(
        *(ledger, Answers(pool), Kept(pool, clock), pool, clock, nobody, _no_lifts),
        timeline_reads(pool, clock, timedelta(days=1)),
    )
    store = ExportStore(pool)
    contents = Contents(pool, ledger, reports, lambda: b"a secret")
    beginning = Beginning(store, contents, ledger, clock)
    async with AsyncExitStack() as stack:
        calls = await stack.enter_async_context(outbound(TIMEOUT, CONNECTIONS, inside=True))
        own = server("profile", TOKEN)
        add_ProfileServiceServicer_to_server(Profiles(), own)  # type: ignore[abstract]
        port = own.add_insecure_port("127.0.0.1:0")
        await own.start()
        stack.push_async_callback(own.stop, 0)
        opened = await stack.enter_async_context(
            channel(f"127.0.0.1:{port}", TOKEN, purpose="tests")
        )
        yield (
            Sources(
                ledger,
                Reading(pool),
                reports,
                AlertApi(AlertStore(pool), calls.check, {}, firsts, clock),
                NoExperiments(),  # type: ignore[arg-type]
                ExportApi(store, beginning, checker(calls.check, folder, {}, {}), firsts, clock),
                People(ProfileServiceStub(opened), ledger.zone),
            ),
            Maker(store, contents, clock, ledger.zone),
        )
