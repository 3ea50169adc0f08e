"""Business numbers, and the chats between them and people. Pure."""

from dataclasses import dataclass, field
from typing import Any

from simulator.webhooks.updates import Metadata
from simulator.world.limits import Pair, Throughput
from simulator.world.quality import Feedback

WINDOW_S = 24 * 3600.0
_FEWEST_TO_SWEEP = 10_000


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
    wa_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.wa_id = "".join(c for c in self.metadata.display_phone_number if c.isdigit())

    def seen_by_graph(self, tier: str) -> dict[str, Any]:
        """Every field of the number as Graph answers it."""
        score = self.feedback.told
        able = "BLOCKED" if self.refuse_code or self.flagged else "AVAILABLE"
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
            "whatsapp_business_manager_messaging_limit": tier,
            "health_status": {
                "can_send_message": able,
                "entities": [
                    {
                        "entity_type": "PHONE_NUMBER",
                        "id": self.phone_number_id,
                        "can_send_message": able,
                    },
                    {
                        "entity_type": "WABA",
                        "id": self.waba_id,
                        "can_send_message": "AVAILABLE",
                    },
                ],
            },
            "id": self.phone_number_id,
        }


@dataclass(slots=True)
class Chat(Pair):
    """Between one business number and one person: what it owes, and when it was last heard."""

    last_heard: float = -WINDOW_S

    def open_at(self, now: float) -> bool:
        return now - self.last_heard < WINDOW_S


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
        self._chats = {
            key: chat
            for key, chat in self._chats.items()
            if chat.free_at > now or chat.open_at(now)
        }
        self._sweep_at = max(_FEWEST_TO_SWEEP, 2 * len(self._chats))
