"""Campaigns as people see them: what a launch would mean, how far one is. Pure."""

from collections.abc import Iterator, Mapping
from datetime import UTC, timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.told import time_told
from merhaba.sender.v1 import Campaign, CampaignProgress, Preflight, PreflightFinding

_WAITING: Final = ("planned", "held", "attempting")
_REACHED: Final = ("sent", "delivered", "read", "played")
_COLOURS: Final = {
    PreflightFinding.SEVERITY_BLOCKER: "red",
    PreflightFinding.SEVERITY_WARNING: "yellow",
}


def state_told(state: Campaign.State.ValueType) -> str:
    """Where a campaign stands, as a word."""
    return Campaign.State.Name(state).removeprefix("STATE_").lower()


def money(micros: int, currency: str) -> str:
    """An amount; nothing where no rate card says what it is."""
    return f"{micros / 1e6:,.2f} {currency}" if currency else "?"


def span_told(duration: Duration | timedelta) -> str:
    """A duration, as coarse as people say it."""
    found = duration if isinstance(duration, timedelta) else duration.ToTimedelta()
    seconds = max(0, round(found.total_seconds()))
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            whole = f"{seconds // size} {name}"
            smaller, part = {"d": ("h", 3_600), "h": ("min", 60), "min": ("s", 1)}[name]
            rest = seconds % size // part
            return f"{whole} {rest} {smaller}" if rest else whole
    return f"{seconds} s"


def _counts(counts: Mapping[str, int] | Mapping[int, int]) -> str:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))
    return ", ".join(f"{count:,} {name}" for name, count in ordered if count)


# --- before the launch ------------------------------------------------------------------------


def looked_at(checked: int, total: int) -> str:
    """How far a preflight is, on a line."""
    return f"looked at {checked:,} of {max(total, checked):,}"


def preflight_view(found: Preflight) -> RenderableType:
    """The whole of what is known."""
    table = Table("what", "how many", show_header=False)
    table.add_row("people", f"{found.recipients:,}")
    table.add_row("reachable", f"{found.reachable:,}")
    if found.delayed_gates:
        table.add_row("  of them later", _counts(found.delayed_gates))
    table.add_row("excluded", _counts(found.excluded_gates) or "nobody")
    table.add_row("held out", f"{found.held_out:,}")
    if found.unresolved:
        table.add_row("not known to profile", f"{found.unresolved:,}")
    for variant in found.variants:
        table.add_row(
            f"variant {variant.variant}", f"{variant.recipients:,} ({_counts(variant.languages)})"
        )
    for lacking in found.missing_variables:
        parts = {
            "by fallback": lacking.fallback_recipients,
            "left out": lacking.skipped_recipients,
            "would pause it": lacking.failing_recipients,
        }
        told = f"{_counts(parts)}; such as {', '.join(lacking.sample_contact_ids[:3])}"
        table.add_row(f"{lacking.variant} without {lacking.variable}", told)
    for market in found.markets:
        cost = money(market.cost_micros, market.currency_code)
        table.add_row(
            f"{market.market or 'no market'}, {market.category}", f"{market.recipients:,}: {cost}"
        )
    table.add_row("cost", money(found.cost_micros, found.currency_code))
    limit = "no limit" if found.tier_available < 0 else f"{found.tier_available:,} left today"
    table.add_row("messaging limit", f"{found.tier_needed:,} needed, {limit}")
    table.add_row("done after", span_told(found.finish_duration))
    return Group(table, *map(_finding, found.findings))


def _finding(one: PreflightFinding) -> Text:
    severity = PreflightFinding.Severity.Name(one.severity).removeprefix("SEVERITY_").lower()
    return Text(f"{severity} {one.kind}: {one.explanation}", style=_COLOURS.get(one.severity, ""))


def blocked(found: Preflight) -> bool:
    """Whether a launch would be refused."""
    return any(one.severity == PreflightFinding.SEVERITY_BLOCKER for one in found.findings)


# --- under way --------------------------------------------------------------------------------


def progress_line(progress: CampaignProgress) -> str:
    """All of it on one line, for those who read no terminal."""
    return "; ".join(f"{name} {value}" for name, value in _told(progress))


def progress_view(progress: CampaignProgress, name: str) -> RenderableType:
    """A bar and a table."""
    left = sum(progress.states.get(one, 0) for one in _WAITING)
    bar = ProgressBar(total=max(progress.recipients, 1), completed=progress.recipients - left)
    table = Table("what", "how many", title=name, show_header=False)
    for what, value in _told(progress):
        table.add_row(what, Text(value))
    for variant in progress.variants:
        reached = sum(variant.states.get(one, 0) for one in _REACHED)
        told = f"{reached:,} of {variant.recipients:,}, {variant.replied:,} replied"
        table.add_row(f"variant {variant.variant} ({variant.weight:g})", told)
    return Group(bar, table)


def _told(progress: CampaignProgress) -> Iterator[tuple[str, str]]:
    why = f" ({progress.state_reason})" if progress.state_reason else ""
    yield "state", state_told(progress.state) + why
    more = "" if progress.recipients_final else ", and more to be found"
    yield "people", f"{progress.recipients:,}{more}"
    states = progress.states
    waiting = {"due": states.get("planned", 0), "under way": states.get("attempting", 0)}
    if told := _counts({**waiting, **{f"at {k}": n for k, n in progress.held_gates.items()}}):
        yield "waiting", told
    reached = [sum(states.get(one, 0) for one in _REACHED[at:]) for at in range(len(_REACHED))]
    yield "sent", f"{reached[0]:,}"
    yield "delivered", f"{reached[1]:,}"
    yield "read", f"{reached[2]:,}"
    yield "replied", f"{progress.replied:,}"
    if progress.clicked:
        yield "clicked", f"{progress.clicked:,}"
    if states.get("failed", 0):
        codes = {str(code or "unconfirmed"): n for code, n in progress.failed_codes.items()}
        yield "failed", _counts(codes)
    if states.get("unknown", 0):
        yield "in doubt", f"{states['unknown']:,}"
    if progress.suppressed_gates:
        yield "refused", _counts(progress.suppressed_gates)
    ended = {"held out": states.get("held_out", 0), "called off": states.get("cancelled", 0)}
    for what, count in ended.items():
        if count:
            yield what, f"{count:,}"
    yield "cost", money(progress.cost_micros, progress.currency_code)
    if progress.sends_per_second:
        yield "pace", f"{progress.sends_per_second:,.1f} a second"
    if progress.HasField("expected_end_time"):
        yield "time left", span_told(_until(progress.expected_end_time, progress.count_time))


def _until(end: Timestamp, now: Timestamp) -> timedelta:
    return end.ToDatetime(UTC) - now.ToDatetime(UTC)


def campaign_view(campaign: Campaign) -> RenderableType:
    """What it is."""
    table = Table("what", "how", show_header=False)
    why = f" ({campaign.state_reason})" if campaign.state_reason else ""
    table.add_row("id", campaign.campaign_id)
    table.add_row("name", campaign.name)
    table.add_row("state", state_told(campaign.state) + why)
    table.add_row("account", campaign.waba_id)
    table.add_row("audience", _audience(campaign))
    for variant in campaign.variants:
        told = f"{variant.template_name}, weight {variant.weight:g}"
        table.add_row(f"variant {variant.name}", told)
    if campaign.hold_out_share:
        table.add_row("held out", f"{campaign.hold_out_share:.1%}")
    if campaign.HasField("budget"):
        table.add_row("budget", money(campaign.budget.amount_micros, campaign.budget.currency_code))
    for field in ("not_after_time", "create_time", "launch_time", "end_time"):
        if campaign.HasField(field):
            table.add_row(field.removesuffix("_time"), time_told(getattr(campaign, field)))
    if campaign.schedule.HasField("start_time"):
        table.add_row("starts", time_told(campaign.schedule.start_time))
    if campaign.schedule.HasField("best_time_duration"):
        within = span_told(campaign.schedule.best_time_duration)
        table.add_row("best time", f"of each, within {within}")
    return table


def _audience(campaign: Campaign) -> str:
    audience = campaign.audience
    match audience.WhichOneof("source"):
        case "segment":
            told = f"segment {audience.segment.segment_id}"
        case "contacts":
            told = f"{len(audience.contacts.contacts):,} people by name"
        case "file":
            told = f"file {audience.file.file_id}"
        case _:
            told = "whoever triggers and journeys bring"
    return f"{told}, where {audience.filter}" if audience.filter else told
