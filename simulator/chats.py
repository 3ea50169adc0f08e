"""Business numbers, and the chats between them and people. Pure."""

from dataclasses import dataclass
from typing import Any

from simulator.limits import Pair, Throughput
from simulator.updates import Metadata

WINDOW_S = 24 * 3600.0


@dataclass(slots=True)
class Number:
    """A business number."""

    phone_number_id: str
    waba_id: str
    metadata: Metadata
    throughput: Throughput
    verified_name: str = "Merhaba"

    def seen_by_graph(self) -> dict[str, Any]:
        """Every field of the number as Graph answers it."""
        return {
            "id": self.phone_number_id,
            "display_phone_number": self.metadata.display_phone_number,
            "verified_name": self.verified_name,
            "quality_rating": "GREEN",
            "code_verification_status": "VERIFIED",
            "name_status": "APPROVED",
            "platform_type": "CLOUD_API",
            "status": "CONNECTED",
            "is_official_business_account": False,
            "throughput": {"level": "HIGH" if self.throughput.per_second > 80 else "STANDARD"},
            "whatsapp_business_manager_messaging_limit": "TIER_UNLIMITED",
        }


@dataclass(slots=True)
class Chat:
    """Between one business number and one person."""

    pair: Pair
    last_heard: float | None = None

    def open_at(self, now: float) -> bool:
        return self.last_heard is not None and now - self.last_heard < WINDOW_S
