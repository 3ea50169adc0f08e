"""A shop's four weeks of messages, for pages to look at: the same every time."""

from collections.abc import Awaitable, Callable
from random import Random

from merhaba.event.v1 import Event, NumberQualityChanged
from services.reports.tests.events import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    campaign,
    created,
    entered,
    event,
    ordered,
    outcome,
    received,
    ref,
    segment_changed,
)

_CAMPAIGNS = (
    ("Kasım indirimi", 0.62, 0.07, 600),
    ("Yeni sezon", 0.55, 0.05, 420),
    ("Sepetini unutma", 0.71, 0.12, 300),
    ("Sadakat puanları", 0.48, 0.03, 240),
)
_FAILURES = (131049, 131049, 131026, 131050)
_GATES = ("consent", "frequency_cap", "quiet_hours")


async def four_weeks(
    feed: Callable[[str, list[Event]], Awaitable[None]], key: str, people: int = 400
) -> list[str]:
    """Feed them; returns the ids of campaigns. `key`: what ids begin with."""
    random = Random(7)
    ids: list[str] = []
    contacts = [f"{key}_con_{n}" for n in range(people)]
    segments = [f"{key}_seg_{n}" for n in range(2)]
    signals = [
        segment_changed(NOON - 40 * DAY, segments[0], "vip", "VIP müşteriler"),
        segment_changed(NOON - 40 * DAY, segments[1], "new", "Yeni gelenler"),
        *(entered(NOON - 35 * DAY, c, segments[n % 2]) for n, c in enumerate(contacts)),
    ]
    await feed("signal", signals)
    await feed("contact", [created(NOON - 41 * DAY, c) for c in contacts])
    for place, (name, likes, clicks, size) in enumerate(_CAMPAIGNS):
        own = f"{key}_cmp_{place}"
        ids.append(own)
        events = [campaign(NOON - (26 - 6 * place) * DAY, own, "running", name, size)]
        bought: list[Event] = []
        for n in range(size):
            contact = random.choice(contacts)
            variant = "ab"[n % 2]
            at = NOON - random.randrange(max(1, 26 - 6 * place)) * DAY
            at += random.choice((-2, 0, 3, 5, 7)) * HOUR + random.randrange(50) * MINUTE
            at = min(at, NOON - 2 * MINUTE)
            message = f"{own}/{n}"
            about = ref(message, own, variant, f"sablon_{place + 1}")
            about.phone_number_id = "100200300" if n % 3 else "100200301"
            about.market = "TR" if n % 5 else "DE"
            if random.random() < 0.06:
                gate = random.choice(_GATES)
                events.append(outcome("suppressed", at, contact, about, gate=gate))
                continue
            events.append(
                outcome("sent", at, contact, about, cost=12_000, currency="USD", priced=True)
            )
            if random.random() < 0.08:
                code = random.choice(_FAILURES)
                events.append(outcome("failed", at + 1, contact, about, code=code))
                continue
            events.append(outcome("delivered", at + 1_000, contact, about))
            better = likes + (0.1 if variant == "b" else 0)
            if random.random() < better:
                events.append(outcome("read", at + 30_000, contact, about))
                if random.random() < clicks * 2:
                    events.append(outcome("clicked", at + 60_000, contact, about))
                if random.random() < clicks:
                    events.append(outcome("replied", at + 90_000, contact, about))
                if random.random() < clicks:
                    bought.append(ordered(at + HOUR, contact, f"{own}/o{n}", 349.9))
        for first in range(0, len(events), 500):
            await feed("message", events[first : first + 500])
        await feed("contact", bought)
    lately = [received(NOON - n * MINUTE, contacts[n]) for n in range(12)]
    await feed("contact", lately)
    return ids


def quality(at: int, number: str, change: str) -> Event:
    """What Meta says of a number."""
    told = NumberQualityChanged(waba_id="w", display_phone_number=number, change=change)
    return event(at, "", number_quality_changed=told)
