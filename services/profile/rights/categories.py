"""Categories of personal data: what people are told of each, and how long it is kept. Pure.

As shipped nothing is deleted by its age: how long is the business's to say.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from services.profile.person.vocabulary import BEHAVIOUR, CONSENT, EVENT_CATEGORIES


class DataCategory(msgspec.Struct, array_like=True, frozen=True):
    """A kind of personal data."""

    name: str
    disclosures: dict[str, str] = {}
    """BCP 47 → what people are told."""
    text_version: int = 1
    """Counts changes of the disclosures."""
    retention: int = 0
    """How long (ms) events of it are kept; 0 is as long as the contact."""
    legal_basis: str = ""
    purpose: str = ""
    """The purpose whose withdrawal ends its keeping; empty when none does."""
    revision: int = 0
    """Counts changes; 0 is as shipped."""

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return f"r{self.revision}"

    def changed(self, fields: Mapping[str, Any]) -> "DataCategory":
        """With other values of some fields."""
        new = msgspec.structs.replace(self, **fields, revision=self.revision + 1)
        if new.disclosures == self.disclosures:
            return new
        return msgspec.structs.replace(new, text_version=self.text_version + 1)


def of_event(name: str, registered: str) -> str:
    """The category of an event: the one it was registered with, or what Merhaba says of its own;
    everything else is what somebody did."""
    return registered or EVENT_CATEGORIES.get(name, BEHAVIOUR)


def _shipped(name: str, legal_basis: str, turkish: str, english: str) -> DataCategory:
    return DataCategory(name, {"tr": turkish, "en": english}, legal_basis=legal_basis)


SHIPPED: Final[Mapping[str, DataCategory]] = {
    one.name: one
    for one in (
        _shipped(
            "identity",
            "contract",
            "Sizi tanımamızı sağlayan bilgiler: adınız, WhatsApp numaranız ve kullanıcı kimliğiniz,"
            " müşteri numaranız.",
            "What tells us who you are: your name, your WhatsApp number and user id, your customer"
            " number.",
        ),
        _shipped(
            "contact",
            "contract",
            "Size ulaşmamız ve sizi doğru karşılamamız için bildiklerimiz: e-posta, adres, şehir,"
            " dil.",
            "What we need to reach and address you: e-mail, address, city, language.",
        ),
        _shipped(
            "transaction",
            "contract",
            "Alışverişleriniz: siparişler, ödemeler, iadeler ve teslimatlar.",
            "What you bought: orders, payments, returns and deliveries.",
        ),
        _shipped(
            BEHAVIOUR,
            "legitimate_interest",
            "Bizimle ne yaptığınız: baktığınız ürünler ve sayfalar, açtığınız mesajlar ve"
            " bağlantılar, bunlardan çıkarılan ilgi alanları.",
            "What you do with us: products and pages you look at, messages and links you open, and"
            " the interests that follow from that.",
        ),
        _shipped(
            "location",
            "explicit_consent",
            "Bizimle paylaştığınız konumunuz ve cihazınızın bildirdiği konum.",
            "Where you are, when you share it with us or your device tells it.",
        ),
        _shipped(
            "message_content",
            "contract",
            "Bize yazdığınız mesajlar, gönderdiğiniz görseller ve değerlendirmeleriniz.",
            "The messages you write to us, what you send with them, and your feedback.",
        ),
        _shipped(
            "device",
            "legitimate_interest",
            "Kullandığınız cihaz, işletim sistemi, tarayıcı ve bunların dili.",
            "The device, system and browser you use, and their language.",
        ),
        _shipped(
            "preference",
            "contract",
            "Nasıl ve ne zaman ulaşılmak istediğiniz.",
            "How and when you want to be reached.",
        ),
        _shipped(
            CONSENT,
            "legal_obligation",
            "Neye, ne zaman, hangi metinle onay verdiğiniz ya da onayınızı geri aldığınız.",
            "What you agreed to or withdrew, when, and by which words.",
        ),
    )
}
"""Categories as they are shipped, by name."""
