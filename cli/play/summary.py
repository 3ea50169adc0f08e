"""What came of a play: counted by the services, checked against the simulator's own ledger."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from cli.clients import Clients
from cli.play.definitions import Definitions
from merhaba.reports.v1 import CampaignReport, GetCampaignReportRequest, OutcomeCounts
from merhaba.segment.v1 import GetSegmentRequest
from merhaba.sender.v1 import GetCampaignRequest

_SETTLE_S: Final = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """The play in numbers."""

    run: int
    history_events: int
    history_s: float
    contacts_told: int
    segments: dict[str, int]
    campaign: dict[str, Any]
    thanks: dict[str, Any]
    duplicates: int
    """Messages that the simulator saw more than once."""
    whole: bool
    """Every recipient has exactly one outcome, and nobody got anything twice."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


async def outcome(
    services: Clients,
    defined: Definitions,
    run: int,
    history_events: int,
    history_s: float,
    simulated: dict[str, Any],
) -> Outcome:
    """Ask everybody what happened."""
    campaign = await _settled(services, defined.campaign_id)
    thanks = await _report(services, defined.thanks_campaign_id)
    duplicates = simulated["ledger/duplicates"]["by_callback_data"]
    planned = (
        await services.campaigns.GetCampaign(GetCampaignRequest(campaign_id=defined.campaign_id))
    ).progress.recipients
    return Outcome(
        run=run,
        history_events=history_events,
        history_s=round(history_s, 2),
        contacts_told=int(simulated["summary"]["people"]),
        segments={
            name: (
                await services.segments.GetSegment(GetSegmentRequest(segment_id=segment_id))
            ).segment.member_count
            for name, segment_id in defined.segments.items()
        },
        campaign=_counts(campaign),
        thanks=_counts(thanks),
        duplicates=duplicates,
        whole=(
            duplicates == 0
            and planned == campaign.recipients == _total(campaign.outcome)
            and thanks.recipients == _total(thanks.outcome)
        ),
    )


async def _report(services: Clients, campaign_id: str) -> CampaignReport:
    answer = await services.reports.GetCampaignReport(
        GetCampaignReportRequest(campaign_id=campaign_id)
    )
    return answer.report


async def _settled(services: Clients, campaign_id: str) -> CampaignReport:
    """The report once nobody in it is pending, or as it stands after a while."""
    report = await _report(services, campaign_id)
    for _ in range(_SETTLE_S * 5):
        if report.recipients and not report.outcome.pending:
            break
        await asyncio.sleep(0.2)
        report = await _report(services, campaign_id)
    return report


def _total(counts: OutcomeCounts) -> int:
    return (
        counts.pending
        + counts.held_out
        + counts.unknown
        + counts.sent
        + counts.delivered
        + counts.read
        + counts.cancelled
        + sum(counts.suppressed_gates.values())
        + sum(counts.failed_codes.values())
    )


def _counts(report: CampaignReport) -> dict[str, Any]:
    return {
        "recipients": report.recipients,
        **_part(report.outcome, report.funnel),
        "variants": {
            v.variant: {"recipients": v.recipients, **_part(v.outcome, v.funnel)}
            for v in report.variants
        },
    }


def _part(counts: OutcomeCounts, funnel: Any) -> dict[str, Any]:
    return {
        "suppressed": dict(counts.suppressed_gates),
        "failed": {str(code): n for code, n in counts.failed_codes.items()},
        "unknown": counts.unknown,
        "pending": counts.pending,
        "sent": funnel.sent,
        "delivered": funnel.delivered,
        "read": funnel.read,
        "clicked": funnel.clicked,
        "replied": funnel.replied,
        "converted": funnel.converted,
    }


def show(said: Outcome, console: Console) -> None:
    """The outcome as tables for a person."""
    table = Table(title=f"Winter offer {said.run}: every recipient counted once")
    table.add_column("")
    columns = {"all": said.campaign, **said.campaign["variants"]}
    for name in columns:
        table.add_column(name, justify="right")
    rows = ("recipients", "sent", "delivered", "read", "clicked", "replied", "converted")
    for row in (*rows, "unknown", "pending"):
        table.add_row(row, *(str(column[row]) for column in columns.values()))
    table.add_row("not sent: a gate", *(_reasons(c["suppressed"]) for c in columns.values()))
    table.add_row("failed: code", *(_reasons(c["failed"]) for c in columns.values()))
    console.print(table)
    people = Table(title="Segments now")
    people.add_column("segment")
    people.add_column("members", justify="right")
    for name, members in said.segments.items():
        people.add_row(name, str(members))
    console.print(people)
    console.print(
        f"history: {said.history_events} events through every service in {said.history_s} s; "
        f"thanks for orders sent: {said.thanks['sent']}; "
        f"messages that arrived twice: {said.duplicates}"
    )


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in sorted(counts.items())) or "-"
