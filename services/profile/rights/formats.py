"""The ledger of consents as others read it. Pure.

İYS (the Turkish register of commercial messages) takes bulk uploads of the columns below, which
are those of its API. Assumed: a WhatsApp message is what İYS calls a `MESAJ`, as an SMS is, which
is for a lawyer to say; times are of Istanbul; and only the purpose `marketing` is of its concern.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from services.profile.person.consent import MARKETING
from services.profile.person.model import Consent, Contact, Kind

_ISTANBUL: Final = ZoneInfo("Europe/Istanbul")
_COLUMNS: Final = ("recipient", "recipientType", "type", "status", "consentDate", "source")
_TYPES: Final[Mapping[str, Sequence[str]]] = {
    "whatsapp": ("MESAJ",),
    "sms": ("MESAJ",),
    "call": ("ARAMA",),
    "email": ("EPOSTA",),
    "": ("MESAJ", "ARAMA", "EPOSTA"),
}
_SOURCES: Final[Mapping[str, str]] = {
    "keyword": "HS_MESAJ",
    "user_preferences": "HS_MESAJ",
    "message": "HS_MESAJ",
    "web_form": "HS_WEB",
    "web": "HS_WEB",
    "app": "HS_MOBIL",
    "call": "HS_CAGRI_MERKEZI",
    "email": "HS_EPOSTA",
    "social_media": "HS_SOSYAL_MEDYA",
    "store": "HS_FIZIKSEL_ORTAM",
    "signature": "HS_ISLAK_IMZA",
    "event": "HS_ETKINLIK",
}
_ANY_SOURCE: Final = "HS_EORTAM"  # some electronic medium


class Entry(NamedTuple):
    """A line of the ledger, and whose it is."""

    number: int
    """Orders lines by their entry."""
    contact: Contact
    line: Consent


class Format(NamedTuple):
    """How lines are written."""

    heading: bytes
    rows: Callable[[Iterable[Entry]], Sequence[bytes]]
    """Whole rows; a line may make none or several."""


def iys() -> Format:
    """Rows of a bulk upload to İYS."""
    return Format(_csv(_COLUMNS), lambda entries: [_csv(row) for row in _iys(entries)])


def iso27560(controller: str) -> Format:
    """A record after ISO/IEC TS 27560 in every row. `controller`: who decides about the data."""
    return Format(b"", lambda entries: [_record(entry, controller) for entry in entries])


def _iys(entries: Iterable[Entry]) -> Iterator[Sequence[str]]:
    for _, contact, line in entries:
        if line.purpose != MARKETING:
            continue
        said = datetime.fromtimestamp(line.event_time / 1000, _ISTANBUL)
        for kind in _TYPES.get(line.medium, ()):
            wanted = Kind.EMAIL if kind == "EPOSTA" else Kind.WA_ID
            for identity, known in sorted(contact.document.identities.items()):
                if identity.kind == wanted and known.active:
                    yield (
                        identity.value if wanted == Kind.EMAIL else f"+{identity.value}",
                        "BIREYSEL",
                        kind,
                        "ONAY" if line.granted else "RET",
                        f"{said:%Y-%m-%d %H:%M:%S}",
                        _SOURCES.get(line.channel, _ANY_SOURCE),
                    )


def _csv(row: Sequence[str]) -> bytes:
    file = StringIO()
    csv.writer(file).writerow(row)
    return file.getvalue().encode()


def _record(entry: Entry, controller: str) -> bytes:
    line = entry.line
    record: dict[str, Any] = {
        "schema_version": "ISO/IEC TS 27560:2023",
        "record_id": line.consent_id,
        "pii_principal_id": entry.contact.contact_id,
        "pii_controllers": [controller] if controller else [],
        "privacy_notice": {"version": line.text_version, "language": line.language},
        "purposes": [
            {
                "purpose": line.purpose,
                "lawful_basis": line.legal_basis,
                "pii_information": line.data_categories,
                "processing_methods": [line.medium or "any"],
                "jurisdiction": line.jurisdiction,
            }
        ],
        "events": [
            {
                "event_type": "consent_given" if line.granted else "consent_withdrawn",
                "event_time": _rfc3339(line.event_time),
                "valid_until": _rfc3339(line.expire_time) if line.expire_time else None,
                "entry_time": _rfc3339(line.create_time),
                "entity": line.source,
                "collection_method": line.channel,
                "evidence": line.proof,
                "event_id": line.event_id,
            }
        ],
    }
    return orjson.dumps(record) + b"\n"


def _rfc3339(time: int) -> str:
    moment = datetime.fromtimestamp(time // 1000, UTC).replace(microsecond=time % 1000 * 1000)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time % 1000:03d}Z"
