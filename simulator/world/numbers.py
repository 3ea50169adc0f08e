"""Business numbers, and the chats between them and people. Pure."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from simulator.people.places import place_of
from simulator.webhooks.updates import Metadata
from simulator.world.limits import Pair, Throughput
from simulator.world.portfolio import Portfolio
from simulator.world.quality import Feedback

WINDOW_S = 24 * 3600.0
_FREE_S = 72 * 3600.0
_NEVER = float("-inf")
_FEWEST_TO_SWEEP = 10_000
APP_ID = "1"
"""There is one app."""


@dataclass(slots=True)
class Number:
    """A business number."""

    phone_number_id: str
    waba_id: str
    metadata: Metadata
    throughput: Throughput
    verified_name: str = "Merhaba"
    # Nobody has complained of a new number.
    feedback: Feedback = field(default_factory=lambda: Feedback(told="GREEN"))
    flagged: bool = False
    """Low quality: conversations cannot be opened until it is over."""
    registered: bool = True
    refuse_code: int = 0
    """Every send is refused with this code: the account is locked, unpaid or upgrading."""
    blocked: dict[str, None] = field(default_factory=dict)
    """People whom the business blocked, by wa_id."""
    profile: dict[str, Any] = field(default_factory=lambda: {"vertical": "OTHER"})
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def wa_id(self) -> str:
        return _digits(self.metadata.display_phone_number)

    def seen_by_graph(self, portfolio: Portfolio) -> dict[str, Any]:
        """Every field of the number as Graph answers it."""
        score, place = self.feedback.told, place_of(self.wa_id)
        able = "BLOCKED" if self.refuse_code or self.flagged else "AVAILABLE"
        entities = {
            "PHONE_NUMBER": (self.phone_number_id, able),
            "WABA": (self.waba_id, "AVAILABLE"),
            "BUSINESS": (portfolio.portfolio_id, "AVAILABLE"),
            "APP": (APP_ID, "AVAILABLE"),
        }
        return {
            "verified_name": self.verified_name,
            "code_verification_status": "VERIFIED",
            "display_phone_number": self.metadata.display_phone_number,
            "quality_rating": score,
            "quality_score": {"score": score},
            "platform_type": "CLOUD_API" if self.registered else "NOT_APPLICABLE",
            "throughput": {"level": "HIGH" if self.throughput.per_second > 80 else "STANDARD"},
            "last_onboarded_time": "2026-01-01T00:00:00+0000",
            "name_status": "APPROVED",
            "status": "FLAGGED" if self.flagged else "CONNECTED",
            "account_mode": "LIVE",
            "is_official_business_account": False,
            "is_on_biz_app": False,
            "is_pin_enabled": True,
            "is_preverified_number": False,
            "country_code": place.country,
            "whatsapp_business_manager_messaging_limit": portfolio.tier,
            "health_status": {
                "can_send_message": able,
                "entities": [
                    {"entity_type": kind, "id": one, "can_send_message": can}
                    for kind, (one, can) in entities.items()
                ],
            },
            "id": self.phone_number_id,
        }


@cache
def _digits(display_phone_number: str) -> str:
    return "".join(c for c in display_phone_number if c.isdigit())


@dataclass(slots=True)
class Chat(Pair):
    """Between one business number and one person: what it owes, and when it was last heard."""

    last_heard: float = _NEVER
    by_ad: float = _NEVER
    """When an ad or a post brought the person here, until the business answered."""
    free_until: float = _NEVER

    def hear(self, now: float, *, by_ad: bool) -> None:
        """The person writes."""
        self.last_heard = now
        self.by_ad = now if by_ad else self.by_ad

    def answer(self, now: float) -> bool:
        """The business writes; whether that is free, as it is for 72 hours from its answer to
        somebody whom an ad brought."""
        if now - self.by_ad < WINDOW_S:
            self.free_until = now + _FREE_S
        self.by_ad = _NEVER
        return now < self.free_until

    def open_at(self, now: float) -> bool:
        return now - self.last_heard < WINDOW_S

    def matters_at(self, now: float) -> bool:
        """Whether it differs from a chat that is yet to begin."""
        return self.open_at(now) or max(self.free_at, self.free_until) > now


class Chats:
    """Those with an open window or a debt; the others are as good as new and are forgotten."""

    def __init__(self) -> None:
        self._chats: dict[tuple[str, str], Chat] = {}
        self._sweep_at = _FEWEST_TO_SWEEP

    def __len__(self) -> int:
        return len(self._chats)

    def between(self, phone_number_id: str, wa_id: str, now: float) -> Chat:
        key = (phone_number_id, wa_id)
        chat = self._chats.get(key)
        if chat is None:
            if len(self._chats) >= self._sweep_at:
                self._sweep(now)
            chat = self._chats[key] = Chat()
        return chat

    def _sweep(self, now: float) -> None:
        self._chats = {key: chat for key, chat in self._chats.items() if chat.matters_at(now)}
        self._sweep_at = max(_FEWEST_TO_SWEEP, 2 * len(self._chats))
