"""What a shop's segments look at, and what its customers do."""

import random
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from chassis.streams import Record
from merhaba.event.v1 import Event

CITIES: Final = tuple(f"city-{number}" for number in range(40))
CATEGORIES: Final = tuple(f"category-{number}" for number in range(40))
CAMPAIGNS: Final = tuple(f"cmp_{number:04}" for number in range(200))
LANGUAGES: Final = ("tr", "en", "de", "ar")
PLANS: Final = ("gold", "silver", "free")
LEVELS: Final = ("high", "medium", "low")
_RARE: Final = (
    *("products_searched", "product_shared", "product_reviewed", "product_added_to_wishlist"),
    *("coupon_applied", "coupon_denied", "promotion_viewed", "promotion_clicked", "signed_up"),
    *("order_refunded", "order_cancelled", "order_shipped", "order_delivered", "cart_viewed"),
    *("payment_info_entered", "checkout_step_completed", "product_list_viewed", "signed_out"),
)
# Each with a part that differs from one segment to the next: what marketing teams write.
_KINDS: Final = (
    'events("product_viewed").where(e, e.category == "{category}").within("{days}d").count() >= 3',
    'events("order_completed").within("{days}d").sum(e, e.total) >= {amount}.0'
    ' && profile.city == "{city}"',
    'profile.city == "{city}" && consent("marketing")',
    'events("cart_updated").within("{hours}h").exists()'
    ' && !events("order_completed").within("{hours}h").exists() && profile.city == "{city}"',
    'events("message_read").where(e, e.campaign_id == "{campaign}").exists()',
    'traits.engagement == "{level}" && profile.language == "{language}" && profile.age >= {age}',
    'events("link_clicked").where(e, e.campaign_id == "{campaign}").within("{days}d").exists()',
    'events("{rare}").within("{days}d").count() >= 2',
    'profile.birthday.isToday() && profile.city == "{city}"',
    'traits.top_category == "{category}" && traits.order_count >= 2',
    'events("{rare}").where(e, e.category == "{category}").within("{hours}h").exists()',
    'sequence("checkout_started", "order_completed").notWithin("{hours}h")'
    ' && traits.top_category == "{category}"',
    'stage() == "{stage}" && profile.country == "{country}"',
    'profile.plan == "{plan}" && profile.city == "{city}"'
    ' && !events("signed_in").within("{days}d").exists()',
    'segment("{earlier}") && profile.language == "{language}"',
    'traits.order_total >= {amount}.0 && traits.last_order_time > now() - duration("{days}d")'
    ' && traits.top_category == "{category}"',
    'events("{rare}").exists() && !events("{rare}").within("{days}d").exists()',
    'traits.net_total >= {amount}.0 && consent("marketing") && profile.region == "{city}"',
    'events("location_pinged").within("{hours}h").exists() && profile.city == "{city}"',
    'traits.order_count == 0 && profile.created_at > now() - duration("{days}d")',
)


def segments(count: int) -> dict[str, str]:
    """So many segments: name → expression. They differ as those of one shop do."""
    chance = random.Random(11)
    found: dict[str, str] = {}
    for number in range(count):
        values = {
            "category": chance.choice(CATEGORIES),
            "city": chance.choice(CITIES),
            "campaign": chance.choice(CAMPAIGNS),
            "language": chance.choice(LANGUAGES),
            "level": chance.choice(LEVELS),
            "stage": chance.choice(("aware", "customer", "loyal", "lapsed")),
            "country": chance.choice(("TR", "DE", "GB", "AE")),
            "plan": chance.choice(PLANS),
            "rare": chance.choice(_RARE),
            "days": chance.choice((1, 7, 14, 30, 60, 90)),
            "hours": chance.choice((1, 2, 6, 12, 24, 48)),
            "amount": chance.choice((50, 100, 250, 500, 1000)),
            "age": chance.choice((18, 25, 35, 50)),
            "earlier": f"s{chance.randrange(max(number, 1))}",
        }
        found[f"s{number}"] = _KINDS[number % len(_KINDS)].format(**values)
    return found


def dense(count: int) -> dict[str, str]:
    """So many segments that every kind of a few events concerns, whatever is in them."""
    names = ("product_viewed", "order_completed", "message_read", "cart_updated", "link_clicked")
    found: dict[str, str] = {}
    for number in range(count):
        one, other = names[number % 5], names[(number * 7 + 3) % 5]
        hours, times = number % 48 + 1, number % 4 + 1
        found[f"d{number}"] = (
            f'events("{one}").within("{hours}h").count() >= {times}',
            f'events("{one}").within("{hours}h").exists()'
            f' && !events("{other}").within("1h").exists()',
            f'traits.order_count >= {number % 9} && events("{one}").within("{hours}h").exists()',
        )[number % 3]
    return found


def people(count: int, seed: int = 3) -> list[str]:
    """Ids of contacts."""
    chance = random.Random(seed)
    return [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(count)]


class Customers:
    """Events of the topic `contact` as profile publishes them, of people taken at random."""

    def __init__(self, contacts: Sequence[str], seed: int = 5) -> None:
        self._people = [Customer(contact_id) for contact_id in contacts]
        self._chance = random.Random(seed)
        self._mark = f"bench{seed}"
        self._number = 0

    def records(self, count: int, now_ms: int) -> Iterator[Record]:
        """So many events that happen now."""
        for _ in range(count):
            event = self.event(now_ms)
            yield Record("contact", event.contact_id, event.SerializeToString())

    def event(self, now_ms: int) -> Event:
        """What one of them does: mostly gets, reads and looks; sometimes asks or buys."""
        chance = self._chance
        who = chance.choice(self._people)
        who.drift(chance)
        self._number += 1
        event = Event(
            event_id=f"{self._mark}/{self._number}",
            source="track:shop",
            contact_id=who.id,
        )
        event.event_time.FromMilliseconds(now_ms)
        event.received_time.FromMilliseconds(now_ms)
        _WHAT[chance.choices(range(len(_WHAT)), _WEIGHTS)[0]](event, who, chance)
        return event


# ruff: noqa: ARG001 - every kind of event is made by the same call
class Customer:
    """Somebody who mostly stays who they are."""

    def __init__(self, contact_id: str) -> None:
        self.id = contact_id
        own = random.Random(contact_id)
        self.city, self.language = own.choice(CITIES), own.choice(LANGUAGES)
        self.plan, self.category = own.choice(PLANS), own.choice(CATEGORIES)
        self.birthday = f"1990-{own.randrange(1, 13):02}-{own.randrange(1, 29):02}"
        self.age, self.level = own.randrange(18, 80), own.choice(LEVELS)
        self.orders, self.total, self.read, self.clicked = 0, 0, 0, 0

    def drift(self, chance: random.Random) -> None:
        """Now and then something about them changes."""
        if chance.random() < 0.03:
            self.city, self.plan = chance.choice(CITIES), chance.choice(PLANS)
            self.category, self.level = chance.choice(CATEGORIES), chance.choice(LEVELS)


def _change(event: Event, name: str, value: object) -> None:
    change = event.changes.add(name=name, value_json=orjson.dumps(value))
    change.change_time.CopyFrom(event.event_time)


def _delivered(event: Event, who: Customer, chance: random.Random) -> None:
    event.message_delivered.message.message_id = f"msg_{chance.getrandbits(40):x}"
    event.message_delivered.message.campaign_id = chance.choice(CAMPAIGNS)
    _change(event, "traits.delivered_count", who.read + 5)


def _read(event: Event, who: Customer, chance: random.Random) -> None:
    who.read += 1
    event.message_read.message.message_id = f"msg_{chance.getrandbits(40):x}"
    event.message_read.message.campaign_id = chance.choice(CAMPAIGNS)
    _change(event, "traits.read_count", who.read)
    _change(event, "traits.read_rate", chance.random())
    _change(event, "traits.engagement", who.level)


def _looked(event: Event, who: Customer, chance: random.Random) -> None:
    category = who.category if chance.random() < 0.5 else chance.choice(CATEGORIES)
    event.tracked.name = "product_viewed"
    event.tracked.properties_json = (
        b'{"sku":"s%d","name":"Lantern of brass","category":"%b","price":%d.9,"currency":"TRY",'
        b'"url":"https://shop.example/p/%d"}'
        % (chance.randrange(900), category.encode(), chance.randrange(300), chance.randrange(900))
    )
    _change(event, "traits.top_category", who.category)
    _change(event, "traits.category_affinity", {category: chance.random()})
    _change(event, "traits.last_seen_time", event.event_time.ToMilliseconds())


def _page(event: Event, who: Customer, chance: random.Random) -> None:
    event.page_viewed.name = "home"
    event.page_viewed.properties_json = b'{"path":"/","title":"Home","referrer":""}'
    _change(event, "traits.last_seen_time", event.event_time.ToMilliseconds())


def _cart(event: Event, who: Customer, chance: random.Random) -> None:
    event.tracked.name = chance.choice(("product_added", "cart_updated", "checkout_started"))
    event.tracked.properties_json = (
        b'{"cart_id":"c%d","total":%d.5,"currency":"TRY","products":[{"sku":"s1","price":9.5}]}'
        % (chance.randrange(10**6), chance.randrange(500))
    )
    _change(event, "traits.cart_open", True)
    _change(event, "traits.cart_value", chance.randrange(500) + 0.5)


def _bought(event: Event, who: Customer, chance: random.Random) -> None:
    total = chance.randrange(400)
    who.orders, who.total = who.orders + 1, who.total + total
    event.tracked.name = "order_completed"
    event.tracked.properties_json = (
        b'{"order_id":"o%d","total":%d.0,"currency":"TRY","products":[{"sku":"s1","price":9.5}]}'
        % (chance.randrange(10**9), total)
    )
    _change(event, "traits.order_count", who.orders)
    _change(event, "traits.order_total", who.total)
    _change(event, "traits.net_total", who.total)
    _change(event, "traits.last_order_time", event.event_time.ToMilliseconds())


def _clicked(event: Event, who: Customer, chance: random.Random) -> None:
    who.clicked += 1
    event.link_clicked.link_id = "lnk_1"
    event.link_clicked.campaign_id = chance.choice(CAMPAIGNS)
    _change(event, "traits.click_count", who.clicked)


def _wrote(event: Event, who: Customer, chance: random.Random) -> None:
    event.message_received.wamid = f"wamid.{chance.getrandbits(60):x}"
    event.message_received.phone_number_id = "1000"
    event.message_received.content.kind = "text"
    event.message_received.content.text = "Siparişim nerede kaldı, çok merak ettim"
    _change(event, "traits.message_count", who.read + who.clicked)


def _told(event: Event, who: Customer, chance: random.Random) -> None:
    event.identified.traits_json = b"{}"
    _change(event, "city", who.city)
    _change(event, "language", who.language)
    _change(event, "country", "TR")
    _change(event, "birthday", who.birthday)
    _change(event, "age", who.age)
    _change(event, "plan", who.plan)


def _agreed(event: Event, who: Customer, chance: random.Random) -> None:
    event.consent_changed.purpose = "marketing"
    event.consent_changed.granted = chance.random() < 0.9
    event.consent_changed.channel = "web_form"


def _rarely(event: Event, who: Customer, chance: random.Random) -> None:
    event.tracked.name = chance.choice(_RARE)
    event.tracked.properties_json = b'{"category":"%b"}' % chance.choice(CATEGORIES).encode()


_WHAT: Final = (
    *(_delivered, _read, _looked, _page, _cart),
    *(_bought, _clicked, _wrote, _told, _agreed, _rarely),
)
_WEIGHTS: Final = (22, 15, 26, 11, 9, 3, 3, 4, 3, 1, 3)
