"""Consent: a ledger by event time, and the words by which people stop and resume messages."""

import re
import unicodedata
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from services.profile.person.model import Consent, Document

MARKETING: Final = "marketing"
WHATSAPP: Final = "whatsapp"
KEYWORD: Final = "keyword"
_LONGEST: Final = 64  # characters of a message that can be a keyword

_STOP: Final = """
stop|stop all|stopall|stop promotions|unsubscribe|cancel|end|quit|opt out|optout|remove me
dur|durdur|iptal|iptal et|ret|red|çık|çıkış|abonelikten çık|aboneliği iptal et|üyelikten çık
listeden çık|beni listeden çıkar|mesaj istemiyorum|mesaj atma|mesaj atmayın|reklam istemiyorum
promosyonları durdur
stopp|abmelden|abbestellen|beenden
arrêt|arrêter|désabonner|me désabonner|se désabonner|désinscription
parar|baja|darse de baja|alto|cancelar suscripción|cancelar
sair|descadastrar|descadastrar-me|pare
ferma|disiscrivi|disiscrivimi|cancellami|annulla iscrizione
stoppen|afmelden|uitschrijven
стоп|отписаться|отписка
توقف|إيقاف|إلغاء|إلغاء الاشتراك|قف
berhenti
"""
_START: Final = """
start|unstop|resume|subscribe|opt in|optin
başla|başlat|devam et|abone ol|üye ol
anmelden|s'abonner|suscribirme|alta|assinar|iscrivimi|aanmelden
старт|подписаться
ابدأ|اشتراك
mulai
"""


class State(IntEnum):
    """What holds of a purpose, numbered as in the contract."""

    NONE = 1
    GRANTED = 2
    WITHDRAWN = 3
    EXPIRED = 4


def keyword(text: str) -> bool | None:
    """What a whole message says of further offers: True resumes, False stops, None is no keyword.

    The whole message must be the word: "stop" and "Dur!" stop, "don't stop" does not. Case,
    accents and what surrounds it do not matter; Turkish İ, I, ı and i are one letter here, because
    people type İPTAL, IPTAL, iptal and ıptal.
    """
    if len(text) > _LONGEST:
        return None
    word = _folded(text)
    if word in _STOP_WORDS:
        return False
    return True if word in _START_WORDS else None


def _folded(text: str) -> str:
    text = text.replace("İ", "i").replace("I", "i").replace("ı", "i").casefold()
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(re.findall(r"\w+", plain))


def _words(lines: str) -> frozenset[str]:
    return frozenset(_folded(word) for word in re.split(r"[|\n]", lines) if word)


_STOP_WORDS: Final = _words(_STOP)
_START_WORDS: Final = _words(_START)


def decides(one: Consent, other: Consent) -> Consent:
    """The line of the two that holds: the later one, of the same time the withdrawal."""
    return max(one, other, key=lambda c: (c.event_time, not c.granted, c.consent_id))


def record(document: Document, line: Consent) -> bool:
    """Take in a line of the ledger; returns whether it now holds."""
    place = f"{line.purpose}\x1f{line.medium}"
    old = document.consents.get(place)
    document.consents[place] = line if old is None else decides(old, line)
    return document.consents[place] is line


def standing(lines: Iterable[Consent], purpose: str, medium: str = WHATSAPP) -> Consent | None:
    """The line that holds of a purpose for a medium, None when nothing was said."""
    best: Consent | None = None
    for line in lines:
        if line.purpose == purpose and line.medium in ("", medium):
            best = line if best is None else decides(best, line)
    return best


def state(line: Consent | None, moment: int) -> State:
    """What a line means at a moment (ms)."""
    if line is None:
        return State.NONE
    if not line.granted:
        return State.WITHDRAWN
    return State.EXPIRED if 0 < line.expire_time <= moment else State.GRANTED
