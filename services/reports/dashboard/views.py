"""What each page needs, fetched: figures asked for, then shown."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from chassis.clock import Clock
from chassis.failures import FieldInvalid, NotFound
from merhaba.reports.v1 import (
    Alert,
    AlertServiceServicer,
    ExperimentServiceServicer,
    ExportServiceServicer,
    GetCampaignReportRequest,
    GetContactTimelineRequest,
    GetExperimentReportRequest,
    GetOverviewRequest,
    ListAlertsRequest,
    ListExportSchedulesRequest,
    ListExportsRequest,
    QueryRow,
    ReportServiceServicer,
)
from services.reports.contracts import ask
from services.reports.dashboard import asking, told
from services.reports.dashboard.figures import Line
from services.reports.dashboard.look import DAYS, Look
from services.reports.dashboard.markup import Safe
from services.reports.dashboard.pages import (
    alerts,
    breakdown,
    campaign,
    campaigns,
    contacts,
    exports,
    heat,
    live,
    numbers,
    overview,
    recipients,
    schedules,
    segments,
)
from services.reports.dashboard.pages.experiment import Judged
from services.reports.dashboard.people import People
from services.reports.dashboard.reading import OUTCOMES, Reading
from services.reports.ledger import Ledger
from services.reports.model import ORDERS, Period
from services.reports.roles import Role
from services.reports.words import Speech

_DAY: Final = timedelta(hours=24)
_PAGE: Final = 50


class Sources(NamedTuple):
    """Where figures come from: the contracts, asked in this process, and lists for people."""

    ledger: Ledger
    reading: Reading
    reports: ReportServiceServicer
    alerts: AlertServiceServicer
    experiments: ExperimentServiceServicer
    exports: ExportServiceServicer
    people: People


class Asked(NamedTuple):
    """Who looks, and at what."""

    say: Speech
    look: Look
    role: Role
    now: datetime

    @property
    def manager(self) -> bool:
        """Whether people and files may be shown."""
        return self.role == "manager"


class Page(NamedTuple):
    """A page."""

    title: str
    body: Safe
    refresh: int = 0
    """Seconds after which it shows what is new; 0: never."""


_NAMED: Final = ("campaign", "trigger", "journey", "segment")
"""Dimensions whose values are ids, which people have names for."""


class Views:
    """The pages."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._from = sources
        self._clock = clock

    async def named(self, look: Look) -> Look:
        """A look with what people call the ids by which it is narrowed."""
        names: dict[tuple[str, str], str] = {}
        for by in (name for name, _ in look.filters if name in _NAMED):
            plain = look._replace(goal="")
            found = await asking.query(self._from.reports, plain, ["sent"], [by], compare=False)
            names |= {(by, one.value): one.label for line in found.lines for one in line.names}
        return look._replace(names=names, goals=await self._from.reading.goals())

    async def overview(self, asked: Asked) -> Page:
        """A period at a glance."""
        say, look, reports = asked.say, asked.look, self._from.reports
        first = await ask(
            reports.GetOverview,
            GetOverviewRequest(
                period=asking.period(look.period),
                filters=asking.filters(look),
                conversion_id=look.goal,
            ),
        )
        money = await asking.query(reports, look, overview.MONEY)
        days = await asking.query(reports, look, overview.BY_DAY, grain=look.grain)
        glance = overview.Glance(
            asking.line(QueryRow(values=first.totals), look.compare),
            money.lines,
            days.lines,
            [asking.line(row) for row in first.campaigns],
            asking.moment(first.freshness),
            [told.insight(one) for one in first.insights],
            first.open_alerts,
            *await self._ads(look),
        )
        return Page(say("overview"), overview.overview(say, look, glance, asked.now), refresh=30)

    async def _ads(self, look: Look) -> tuple[list[Line], list[Line]]:
        """How many people came by each ad and what they did then, and its worth by currency."""
        if any(name != "number" for name, _ in look.filters):
            return [], []
        came, brought = [
            await asking.query(
                self._from.reports, look, measures, ["ad"], compare=False, order=measures[0]
            )
            for measures in (overview.OF_ADS, ["revenue"])
        ]
        return came.lines, brought.lines

    async def live(self, asked: Asked) -> Page:
        """Today, and the last minutes."""
        found = await self._from.ledger.live(live.LIVE)
        return Page(asked.say("live"), live.live(asked.say, found, asked.now), refresh=3)

    async def campaigns(self, asked: Asked) -> Page:
        """Campaigns, searched and ordered. Raises `FieldInvalid`."""
        say, look = asked.say, asked.look
        sort = look.sort or campaigns.USUAL
        first = _number(look.place)
        try:
            states = await self._from.reading.campaigns(
                look.search, sort.removeprefix("-"), sort.startswith("-"), first, _PAGE + 1
            )
        except KeyError:
            raise FieldInvalid("sort", "there is no such column") from None
        onward = look.address("/campaigns", place=str(first + _PAGE)) if len(states) > _PAGE else ""
        lines, fold_time = await self._from.ledger.lines_of(states[:_PAGE])
        body = campaigns.campaigns(say, look, lines, onward, fold_time, asked.now)
        return Page(say("campaigns"), body)

    async def campaign(self, asked: Asked, campaign_id: str) -> Page:
        """One campaign. Raises `CampaignNotFound`."""
        say, reports = asked.say, self._from.reports
        goal = asked.look.goal
        contract = await ask(
            reports.GetCampaignReport,
            GetCampaignReportRequest(campaign_id=campaign_id, conversion_id=goal),
        )
        report = await self._from.ledger.campaign(
            campaign_id, conversion_id="" if goal == ORDERS else goal
        )
        whole = self._whole(asked, campaign_id, report.state.launch_time)
        costs = await asking.query(
            reports, whole, campaign.COSTS, ["market", "category"], compare=False
        )
        found = campaign.Campaign(
            report,
            [(asking.name(one.measure), asking.figure(one)) for one in contract.report.lifts],
            [told.insight(one) for one in contract.report.insights],
            await self._judged(campaign_id),
            await asking.heat(reports, whole, "read_rate"),
            [line for line in costs.lines if line["cost"].value],
        )
        body = campaign.campaign(say, asked.look, found, asked.manager, asked.now)
        return Page(report.state.name or say("campaign"), body, refresh=15)

    async def recipients(self, asked: Asked, campaign_id: str) -> Page:
        """Recipients of a campaign, by a page. Raises `CampaignNotFound` and `FieldInvalid`."""
        say, look = asked.say, asked.look
        if look.by and look.by not in OUTCOMES:
            raise FieldInvalid("by", f"unknown; there are {', '.join(OUTCOMES)}")
        report = await self._from.ledger.campaign(campaign_id)
        wanted = [look.by] if look.by else []
        found = await self._from.reading.recipients(campaign_id, wanted, look.place, _PAGE + 1)
        path = f"{overview.campaign_address(campaign_id)}/recipients"
        onward = look.address(path, place=found[_PAGE - 1].message_id) if len(found) > _PAGE else ""
        body = recipients.recipients(
            say, look, report.state, found[:_PAGE], onward, report.fold_time, asked.now
        )
        return Page(say("recipients_of", name=report.state.name or campaign_id), body)

    async def segments(self, asked: Asked) -> Page:
        """All segments."""
        say = asked.say
        states, fold_time = await self._from.ledger.segments(_DAY)
        look = asked.look._replace(filters=())
        found = await asking.query(
            self._from.reports, look, segments.MEASURES, ["segment"], compare=False
        )
        lines = {line.names[0].value: line for line in found.lines}
        body = segments.segments(say, look, states, lines, fold_time, asked.now)
        return Page(say("segments"), body)

    async def breakdown(self, asked: Asked) -> Page:
        """By trigger, journey or whatever else messages are counted by. Raises `FieldInvalid`."""
        say, look = asked.say, asked.look
        by = look.by or breakdown.DIMENSIONS[0]
        if by not in breakdown.DIMENSIONS:
            raise FieldInvalid("by", f"unknown; there are {', '.join(breakdown.DIMENSIONS)}")
        found = await asking.query(self._from.reports, look, breakdown.COUNTS, [by], order="sent")
        cells = await asking.heat(self._from.reports, look, "read_rate")
        shown = heat.heat_map(say, "read_rate", cells)
        body = breakdown.breakdown(say, look, by, found, shown, asked.now)
        return Page(say("journeys"), body)

    async def finder(self, asked: Asked, missing: bool = False) -> Page:
        """The form that finds a person."""
        return Page(asked.say("contacts"), contacts.finder(asked.say, missing))

    async def contact(self, asked: Asked, contact_id: str) -> Page:
        """What happened to one person. Raises `ContactNotFound`."""
        say, look = asked.say, asked.look
        answer = await ask(
            self._from.reports.GetContactTimeline,
            GetContactTimelineRequest(
                contact_id=contact_id, page_size=_PAGE, page_token=look.place
            ),
        )
        person = await self._from.people.person(contact_id, asked.manager)
        onward = answer.next_page_token
        body = contacts.contact(
            say,
            look,
            contact_id,
            person,
            [told.happening(one) for one in answer.items],
            look.address(recipients.contact_address(contact_id), place=onward) if onward else "",
            asking.moment(answer.freshness),
            asked.now,
        )
        return Page(say("contact"), body)

    async def find(self, who: str) -> str:
        """The id of a person by number or id; empty when nobody is known by it."""
        if any(map(str.isalpha, who)):
            return who
        return await self._from.people.found(who)

    async def alerts(self, asked: Asked) -> Page:
        """Alerts: those of now, or all."""
        say, look = asked.say, asked.look
        states = [] if look.by == "all" else [Alert.STATE_OPEN, Alert.STATE_ACKNOWLEDGED]
        answer = await ask(
            self._from.alerts.ListAlerts,
            ListAlertsRequest(states=states, page_size=_PAGE, page_token=look.place),
        )
        token = answer.next_page_token
        body = alerts.alerts(
            say,
            look,
            [told.alarm(one) for one in answer.alerts],
            look.address("/alerts", place=token) if token else "",
            asked.manager,
            self._from.ledger.fold_time(),
            asked.now,
        )
        return Page(say("alerts"), body, refresh=15)

    async def numbers(self, asked: Asked) -> Page:
        """The health of numbers and templates."""
        look, reading = asked.look, self._from.reading
        found = await asking.query(self._from.reports, look, numbers.MEASURES, ["number"])
        codes = await asking.query(
            self._from.reports, look, ["failed"], ["error_code"], order="failed"
        )
        body = numbers.numbers(
            asked.say,
            look,
            found,
            codes,
            await reading.quality("number"),
            await reading.quality("template"),
            asked.now,
        )
        return Page(asked.say("numbers"), body)

    async def exports(self, asked: Asked) -> Page:
        """Files that are made, or were."""
        say, look = asked.say, asked.look
        answer = await ask(
            self._from.exports.ListExports,
            ListExportsRequest(page_size=_PAGE, page_token=look.place),
        )
        token = answer.next_page_token
        body = exports.exports(
            say,
            look,
            [told.file(one) for one in answer.exports],
            look.address("/exports", place=token) if token else "",
            asked.manager,
            self._from.ledger.fold_time(),
            asked.now,
        )
        return Page(say("exports"), body, refresh=3)

    async def schedules(self, asked: Asked) -> Page:
        """Files that are made again and again."""
        say, look = asked.say, asked.look
        answer = await ask(
            self._from.exports.ListExportSchedules,
            ListExportSchedulesRequest(page_size=_PAGE, page_token=look.place),
        )
        token = answer.next_page_token
        body = schedules.schedules(
            say,
            look,
            [told.plan(one) for one in answer.schedules],
            look.address(schedules.PATH, place=token) if token else "",
            asked.manager,
            self._from.ledger.fold_time(),
            asked.now,
        )
        return Page(say("schedules"), body)

    async def _judged(self, campaign_id: str) -> Judged | None:
        """What the campaign's experiment says, if it has one."""
        try:
            answer = await ask(
                self._from.experiments.GetExperimentReport,
                GetExperimentReportRequest(campaign_id=campaign_id),
            )
        except NotFound:
            return None
        return told.judged(answer.report)

    def _whole(self, asked: Asked, campaign_id: str, launch: datetime | None) -> Look:
        """All of a campaign: from before its launch, or the longest there is, until now."""
        longest = asked.now - timedelta(days=DAYS["365d"])
        start = max(launch - timedelta(days=1), longest) if launch else longest
        period = Period(start, asked.now + timedelta(microseconds=1), asked.look.period.zone)
        return Look(
            period,
            "custom",
            compare=False,
            filters=(("campaign", (campaign_id,)),),
            goal=asked.look.goal,
        )


def _number(place: str) -> int:
    if place and not (place.isascii() and place.isdecimal() and len(place) <= 6):
        raise FieldInvalid("place", "no place in this list; begin with its first page")
    return int(place or 0)
