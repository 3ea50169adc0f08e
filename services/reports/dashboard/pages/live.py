"""What happens now, minute by minute. Pure."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from services.reports.dashboard import parts
from services.reports.dashboard.charts import Bar, axis, columns
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.funnel import Tally
from services.reports.ledger import Live
from services.reports.model import Activity
from services.reports.words import Speech

LIVE: Final = timedelta(minutes=15)
_TODAY: Final = ("sent", "delivered", "read", "clicked", "replied")
_SHOWN: Final[tuple[tuple[str, Callable[[Activity], bool]], ...]] = (
    ("message_out", lambda a: a.name == "message_sent"),
    ("message_in", lambda a: a.name == "message_received"),
    ("tracked", lambda a: a.kind == "tracked"),
)
_TOP: Final = 12


def live(say: Speech, found: Live, now: datetime) -> Safe:
    """The last minutes, what came of today's messages, how many contacts there are."""
    today = found.today
    figures = [
        parts.figure(say(f"measure.{key}"), say.number(getattr(today, key)), _of(say, today, key))
        for key in _TODAY
    ]
    figures += [
        parts.figure(say("measure.failed"), say.number(today.outcomes["failed"])),
        parts.figure(say("base"), say.number(found.base)),
    ]
    counts: Counter[str] = Counter()
    for one in found.activity:
        counts[one.name] += one.events
    rows: list[list[Child]] = [
        [say.event(name), say.number(n)]
        for name, n in sorted(counts.items(), key=lambda c: (-c[1], c[0]))[:_TOP]
    ]
    charts = [_minutes(say, key, found, now, counts_it) for key, counts_it in _SHOWN]
    spoken = say(
        "live_spoken",
        sent=say.number(counts["message_sent"]),
        received=say.number(counts["message_received"]),
    )
    return join(
        tag("h1", say("live"), data_say=spoken),
        parts.fresh(say, found.fold_time, now),
        parts.section(say("now"), tag("div", *charts, class_="grid")),
        parts.section(say("today"), parts.figures(*figures), hint=say("today_hint")),
        parts.section(
            say("events"),
            parts.or_nothing(say, say("events"), [say("event"), say("count")], rows),
            hint=say("events_hint"),
        ),
    )


def _of(say: Speech, tally: Tally, step: str) -> str:
    """The rate that belongs to a figure."""
    rates = {
        "delivered": ("delivery_rate", tally.delivered, tally.sent),
        "read": ("read_rate", tally.read, tally.delivered),
        "clicked": ("click_rate", tally.clicked, tally.delivered),
        "replied": ("reply_rate", tally.replied, tally.delivered),
    }
    if step not in rates:
        return ""
    name, part, whole = rates[step]
    return f"{say(f'measure.{name}')} {parts.percent(say, part, whole)}" if whole else ""


def _minutes(
    say: Speech, key: str, found: Live, now: datetime, counts: Callable[[Activity], bool]
) -> Safe:
    end = int(now.timestamp()) // 60
    buckets = [0] * (int(LIVE.total_seconds()) // 60)
    for one in found.activity:
        place = len(buckets) - 1 - (end - int(one.minute.timestamp()) // 60)
        if counts(one) and 0 <= place < len(buckets):
            buckets[place] += one.events
    total, highest = say.number(sum(buckets)), say.number(max(buckets))
    minutes = [now - timedelta(minutes=len(buckets) - 1 - n) for n in range(len(buckets))]
    bars: list[Bar] = []
    rows: list[list[Child]] = []
    for minute, count in zip(minutes, buckets, strict=True):
        bars.append(Bar(f"{say.minute(minute)}: {say.number(count)}", count))
        rows.append([say.minute(minute), say.number(count)])
    words = say("per_minute", what=say(key), total=total)
    return tag(
        "figure",
        tag("figcaption", say(key), tag("strong", total)),
        columns(f"minutes-{key.replace('_', '-')}", say(key), words, bars),
        axis(say.minute(minutes[0]), say("highest", value=highest), say.minute(minutes[-1])),
        parts.as_table(say, say(key), [say("time"), say("count")], rows),
        class_="card",
    )
