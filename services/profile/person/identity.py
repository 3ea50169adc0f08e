"""Identities: their one written form, and how well each tells people apart."""

import re
from hashlib import blake2b
from typing import Final
from uuid import UUID

from chassis.failures import FieldInvalid
from services.profile.person import phone
from services.profile.person.model import Identity, Kind

MOST_TOGETHER: Final = 50  # in one event
_LONGEST: Final = 512
_KINDS: Final = frozenset(Kind)

_STRENGTH: Final = (
    Kind.WA_ID,
    Kind.BSUID,
    Kind.PARENT_BSUID,
    Kind.EXTERNAL_ID,
    Kind.EMAIL,
    Kind.ANONYMOUS_ID,
)
_RANK: Final[dict[int, int]] = {kind: rank for rank, kind in enumerate(_STRENGTH)}
# To look a member of an enumeration up costs more than to compare with it.
_WA_ID: Final = Kind.WA_ID
_EMAIL: Final = Kind.EMAIL

# What trackers and exports write where they know nothing. As ids they would make one person of all
# the people of whom nothing is known.
_SENT_BY_CODE: Final = frozenset({Kind.EXTERNAL_ID, Kind.ANONYMOUS_ID, Kind.EMAIL})
_JUNK_WORDS: Final = """
null|nil|none|undefined|nan|inf|infinity|true|false|n/a|na|-|--|-1|.|?|[]|{}|[object object]
anonymous|anonymous_id|anonymousid|anon|guest|visitor|user|userid|user_id|customer|customerid
customer_id|id|uuid|uid|distinct_id|distinctid|external_id|externalid|email|mail|unknown
unidentified|unauthenticated|not_authenticated|notauthenticated|logged_out|loggedout
not set|(not set)|not_set|notset|none provided|not provided|(none)|(null)|empty|blank|default
misafir|bilinmiyor|yok
"""
_JUNK: Final = frozenset(re.split(r"[|\n]", _JUNK_WORDS))
_NO_NAMES: Final = frozenset({"null", "none", "undefined", "nan", "unknown", "anonymous"})
_ZEROS: Final = re.compile(r"[0\s._{}-]*")  # 0, 0000, 00000000-0000-0000-0000-000000000000


class BlindIndex:
    """128 bits by which an identity is looked up. Without the secret they say nothing: nobody can
    find a number's by hashing all numbers."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 bytes, the same for as long as the identities are kept."""
        self._keyed = blake2b(digest_size=16, key=secret)

    def __call__(self, identity: Identity) -> bytes:
        """The identity's place in the index."""
        kind, scope, value = identity
        text = f"{kind}\x1f{scope}\x1f{value}".encode()
        hashed = self._keyed.copy()  # half of what keying it anew costs
        hashed.update(text)
        return hashed.digest()


def normalised(kind: int, scope: str, value: str, default_region: str | None = None) -> Identity:
    """An identity in its one written form.

    With a `default_region` phone numbers may have any usual form; without, they are digits as
    WhatsApp writes them. Raises `FieldInvalid` for what cannot be one.
    """
    value = value.strip()
    if kind not in _KINDS:
        raise _invalid("kind", "unknown; use one of the contract's kinds")
    if not value or len(value) > _LONGEST or len(scope) > _LONGEST:
        raise _invalid("value", f"1 to {_LONGEST} characters are needed")
    if kind == _WA_ID:
        if default_region is not None:
            return Identity(kind, "", phone.parse(value, default_region))
        value = value.removeprefix("+")
        if not phone.plausible(value):
            raise _invalid("value", "not the digits of a phone number")
        return Identity(kind, "", phone.canonical(value))
    if kind == _EMAIL:
        return Identity(kind, "", value.lower())
    return Identity(kind, scope, value)


def strength(identity: Identity) -> tuple[int, Identity]:
    """Sorts identities, the one that tells people apart best first."""
    return _RANK[identity.kind], identity


def means_somebody(identity: Identity) -> bool:
    """Whether it can be somebody's: `null`, `guest` or a UUID of zeros cannot."""
    kind, _, value = identity
    if kind not in _SENT_BY_CODE:
        return True
    plain = value.strip("\"' ").casefold()
    if kind == _EMAIL:
        name, at, _ = plain.partition("@")
        return bool(at) and name not in _NO_NAMES
    return plain not in _JUNK and not _ZEROS.fullmatch(plain)


def _invalid(field: str, problem: str) -> FieldInvalid:
    return FieldInvalid(f"identities.{field}", problem)


def contact_id(text: str) -> str:
    """A contact's id in its one written form; empty when it cannot be one."""
    try:
        return str(UUID(text))
    except ValueError:
        return ""
