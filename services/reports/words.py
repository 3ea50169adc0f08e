"""What the dashboard says, in Turkish and English, and how it writes numbers. Pure."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal, format_percent

LANGUAGES: Final = {"tr": "Türkçe", "en": "English"}
_DEFAULT: Final = "en"

_EN: Final = {
    "overview": "Overview",
    "campaigns": "Campaigns",
    "campaign": "Campaign",
    "segments": "Segments",
    "segment": "Segment",
    "sign_in": "Sign in",
    "sign_out": "Sign out",
    "token": "Access token",
    "token_hint": "The value of DASHBOARD_TOKEN; whoever runs Merhaba has it.",
    "wrong_token": "That is not the token. Check it and try again.",
    "not_found": "There is no such page",
    "not_found_hint": "The address may be mistyped, or nothing has happened there yet.",
    "unavailable": "The figures cannot be read right now",
    "unavailable_hint": "A part this depends on does not answer. This page tries again by itself.",
    "skip": "Skip to the figures",
    "language": "Language",
    "main_menu": "Main menu",
    "fresh": "Everything until {time} is counted ({lag} s ago).",
    "today": "Messages of today",
    "today_hint": "Messages sent since midnight, and what became of them so far.",
    "now": "The last 15 minutes",
    "base": "Contacts",
    "planned": "Planned",
    "recipients": "Recipients",
    "sent": "Sent",
    "delivered": "Delivered",
    "read": "Read",
    "clicked": "Clicked",
    "replied": "Replied",
    "failed": "Failed",
    "converted": "Bought",
    "opted_out": "Opted out",
    "suppressed": "Suppressed",
    "held_out": "Held out",
    "unknown": "Unclear",
    "pending": "Waiting",
    "cancelled": "Cancelled",
    "orders": "Orders",
    "revenue": "Revenue",
    "cost": "Cost",
    "state": "State",
    "variant": "Variant",
    "variants": "Variants",
    "template": "Template",
    "funnel": "Funnel",
    "funnel_hint": "Of all recipients. Read is a lower bound: receipts may be switched off.",
    "outcomes": "Where every recipient stands",
    "outcomes_hint": "Each recipient is counted once; the numbers add up to {total}.",
    "outcome": "Outcome",
    "gate": "Gate",
    "gates": "Suppressed, by gate",
    "code": "Code",
    "codes": "Failed, by Meta's code",
    "messages": "Messages",
    "share": "Share",
    "sales": "Orders and revenue",
    "sales_hint": "Orders of people whom a message of this campaign reached last before.",
    "members": "Members now",
    "entered": "Came, 24 h",
    "left": "Went, 24 h",
    "event": "Event",
    "count": "Count",
    "per_minute": "{what} per minute, most recent last: {total} together",
    "message_in": "Messages from people",
    "message_out": "Messages to people",
    "tracked": "Events of the business",
    "nothing": "Nothing yet.",
    "no_variant": "(one)",
    "delivery_rate": "Delivery rate",
    "read_rate": "Read rate",
    "click_rate": "Click rate",
    "reply_rate": "Reply rate",
    "audience": "Audience",
    "launched": "Launched",
    "state.planning": "Planning",
    "state.running": "Running",
    "state.paused": "Paused",
    "state.completed": "Completed",
    "state.cancelled": "Cancelled",
    "state.stopped": "Stopped",
    "state.": "Unknown",
}
_TR: Final = {
    "overview": "Genel bakış",
    "campaigns": "Kampanyalar",
    "campaign": "Kampanya",
    "segments": "Segmentler",
    "segment": "Segment",
    "sign_in": "Giriş yap",
    "sign_out": "Çıkış yap",
    "token": "Erişim anahtarı",
    "token_hint": "DASHBOARD_TOKEN değeri; Merhaba'yı işleten kişide bulunur.",
    "wrong_token": "Anahtar yanlış. Kontrol edip yeniden deneyin.",
    "not_found": "Böyle bir sayfa yok",
    "not_found_hint": "Adres yanlış yazılmış olabilir ya da orada henüz bir şey olmadı.",
    "unavailable": "Rakamlar şu anda okunamıyor",
    "unavailable_hint": "Gerekli bir parça yanıt vermiyor. Bu sayfa kendiliğinden yeniden dener.",
    "skip": "Rakamlara geç",
    "language": "Dil",
    "main_menu": "Ana menü",
    "fresh": "{time} saatine kadarki her şey sayıldı ({lag} sn önce).",
    "today": "Bugünün mesajları",
    "today_hint": "Gece yarısından beri gönderilen mesajlar ve şu ana kadarki sonuçları.",
    "now": "Son 15 dakika",
    "base": "Kişiler",
    "planned": "Planlanan",
    "recipients": "Alıcılar",
    "sent": "Gönderilen",
    "delivered": "İletilen",
    "read": "Okunan",
    "clicked": "Tıklanan",
    "replied": "Yanıtlanan",
    "failed": "Başarısız",
    "converted": "Satın alan",
    "opted_out": "İzni geri çeken",
    "suppressed": "Engellenen",
    "held_out": "Kontrol grubu",
    "unknown": "Belirsiz",
    "pending": "Bekleyen",
    "cancelled": "İptal edilen",
    "orders": "Siparişler",
    "revenue": "Ciro",
    "cost": "Maliyet",
    "state": "Durum",
    "variant": "Varyant",
    "variants": "Varyantlar",
    "template": "Şablon",
    "funnel": "Huni",
    "funnel_hint": "Tüm alıcılar içinde. Okunan bir alt sınırdır: okundu bilgisi kapalı olabilir.",
    "outcomes": "Her alıcının durumu",
    "outcomes_hint": "Her alıcı bir kez sayılır; sayıların toplamı {total}.",
    "outcome": "Sonuç",
    "gate": "Kapı",
    "gates": "Engellenenler, kapıya göre",
    "code": "Kod",
    "codes": "Başarısızlar, Meta koduna göre",
    "messages": "Mesajlar",
    "share": "Pay",
    "sales": "Siparişler ve ciro",
    "sales_hint": "Son olarak bu kampanyanın mesajı ulaşan kişilerin siparişleri.",
    "members": "Şimdiki üyeler",
    "entered": "Giren, 24 sa",
    "left": "Çıkan, 24 sa",
    "event": "Olay",
    "count": "Sayı",
    "per_minute": "Dakikada {what}, en yenisi sonda: toplam {total}",
    "message_in": "Kişilerden gelen mesajlar",
    "message_out": "Kişilere giden mesajlar",
    "tracked": "İşletmenin olayları",
    "nothing": "Henüz bir şey yok.",
    "no_variant": "(tek)",
    "delivery_rate": "İletim oranı",
    "read_rate": "Okunma oranı",
    "click_rate": "Tıklama oranı",
    "reply_rate": "Yanıt oranı",
    "audience": "Hedef kitle",
    "launched": "Başlangıç",
    "state.planning": "Planlanıyor",
    "state.running": "Sürüyor",
    "state.paused": "Duraklatıldı",
    "state.completed": "Tamamlandı",
    "state.cancelled": "İptal edildi",
    "state.stopped": "Durduruldu",
    "state.": "Bilinmiyor",
}
WORDS: Final[Mapping[str, Mapping[str, str]]] = {"tr": _TR, "en": _EN}


class Speech:
    """One language: words and numbers."""

    def __init__(self, language: str, zone: str) -> None:
        self.language = language
        self._words = WORDS[language]
        self._zone = ZoneInfo(zone)

    def __call__(self, key: str, **values: object) -> str:
        """The words for `key`, with values put in."""
        return self._words[key].format(**values)

    def state(self, state: str) -> str:
        """The state of a campaign; one nobody knew as it is."""
        return self._words.get(f"state.{state}", state)

    def number(self, value: int) -> str:
        """A count: 12,345 or 12.345."""
        return format_decimal(value, locale=self.language)

    def percent(self, share: float | None) -> str:
        """A share with one decimal; a dash where there is none."""
        if share is None:
            return "–"
        return format_percent(
            share, "#,##0.0%" if self.language == "en" else "%#,##0.0", self.language
        )

    def money(self, amounts: Mapping[str, int]) -> str:
        """Amounts in micros by currency, each currency apart; a dash where there is none."""
        return (
            " + ".join(
                format_currency(
                    Decimal(micros) / 1_000_000, currency or "XXX", locale=self.language
                )
                for currency, micros in sorted(amounts.items())
            )
            or "–"
        )

    def moment(self, moment: datetime | None) -> str:
        """Day and time in the installation's zone."""
        if moment is None:
            return "–"
        return format_datetime(moment.astimezone(self._zone), "d MMM y HH:mm", locale=self.language)

    def clock(self, moment: datetime) -> str:
        """Time of day in the installation's zone."""
        return format_datetime(moment.astimezone(self._zone), "HH:mm:ss", locale=self.language)


def choose(asked: str, kept: str, accepted: str) -> str:
    """The language to speak: as asked for, else as chosen before, else by Accept-Language."""
    for one in (asked, kept):
        if one in LANGUAGES:
            return one
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted[:500].split(",")):
        name, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        ranked.append((-weight, place, name.strip().lower().split("-")[0]))
    return next(
        (name for weight, _, name in sorted(ranked) if name in LANGUAGES and weight), _DEFAULT
    )
