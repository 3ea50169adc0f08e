"""Values as people read them: words, money, numbers, dates and plurals, by CLDR. Pure."""

import copy
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import parse_pattern as parse_date_pattern
from babel.numbers import (
    NumberPattern,
    get_currency_precision,
    get_decimal_symbol,
    get_group_symbol,
)

from services.sender.formats import (
    DateFormat,
    Format,
    MoneyFormat,
    NumberFormat,
    PluralFormat,
    TextFormat,
)
from services.sender.wording import casing
from services.sender.wording.clean import tidy
from services.sender.wording.turkish import inflect

Writer = Callable[[Any, str], str]
"""A value and an IANA zone, as text; empty when there is no value of this kind."""

_NUMBER: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,12})?")
_MICROS: Final = Decimal(1_000_000)
_LARGEST: Final = Decimal(10) ** 18
_AROUND: Final = re.compile(r"(\D*)1(?:\D0+)?(\D*)")
_STYLES: Final = ("short", "medium", "long", "full")
_CASES: Final[Mapping[str, Callable[[str, str], str]]] = {
    "lower": casing.lower,
    "upper": casing.upper,
    "title": casing.title,
}
_TURKISH: Final = "tr"
_FRACTION: Final = 2
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - zones are added to it
_DATE: Final = re.compile(r"\d{4}-?\d{2}-?\d{2}")
# 1.234 in a text is a thousand and more to some and one and a bit to others: no price to promise.
_EITHER: Final = re.compile(r"\s*-?[1-9]\d{0,2}\.\d{3}\s*")
# Moments that share nothing, at hours of every name that a day's parts have.
_SAMPLES: Final = tuple(datetime(2026 + i, 2 + i, 3 + i, i * 3, 7 * i, i) for i in range(8))  # noqa: DTZ001
_PATTERN: Final = 100


def writer_of(form: Format | None, language: str) -> Writer:
    """How values are written in a language, as Meta spells it (`tr`, `en_US`)."""
    locale = locale_of(language)
    match form:
        case MoneyFormat():
            return _money(form, locale)
        case NumberFormat():
            return _number(form, locale)
        case DateFormat():
            return _date(form, locale)
        case PluralFormat():
            return _plural(form, locale)
        case TextFormat():
            return _text(form, language, locale)
        case None:
            return _text(TextFormat(), language, locale)


@cache
def locale_of(language: str) -> Locale:
    """CLDR's locale of a language; English for one that CLDR does not know."""
    for code in (language.replace("-", "_"), language[:2]):
        try:
            return Locale.parse(code)
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


def is_pattern(pattern: str) -> bool:
    """Whether dates can be written by it."""
    if pattern in _STYLES:
        return True
    if len(pattern) > _PATTERN:
        return False
    try:
        parsed = parse_date_pattern(pattern)
        shown = {parsed.apply(one, locale_of(_TURKISH)) for one in _SAMPLES}
    except (KeyError, ValueError, AttributeError):
        return False
    return len(shown) > 1


def _text(form: TextFormat, language: str, locale: Locale) -> Writer:
    cased = _CASES.get(form.casing)
    suffix = form.suffix if language[:2] == _TURKISH else ""
    plain = _pattern(locale, _FRACTION, grouping=False)

    def write(value: Any, _: str) -> str:
        if value.__class__ is str:
            text = tidy(value)
        elif value.__class__ is int:
            text = str(value)
        elif value.__class__ is float and (number := _decimal(value)) is not None:
            text = plain.apply(number, locale)
        else:
            return ""
        if cased is not None:
            text = cased(text, language)
        if suffix:
            return inflect(text, suffix)
        return casing.cut(text, form.max_characters)

    return write


def _money(form: MoneyFormat, locale: Locale) -> Writer:
    digits = get_currency_precision(form.currency)
    step = Decimal(1).scaleb(-digits)
    show = _amount(form.currency, digits, locale)

    def write(value: Any, _: str) -> str:
        number = _decimal(value)
        if number is None or (value.__class__ is str and digits < 3 and _EITHER.fullmatch(value)):
            return ""
        if form.micros:
            number /= _MICROS
        # Half a kuruş counts as one, as people count; halves to even are a habit of statistics.
        number = number.quantize(step, ROUND_HALF_UP) + 0  # -0 is 0
        return show(number)

    return write


def _amount(currency: str, digits: int, locale: Locale) -> Callable[[Decimal], str]:
    """Amounts of a currency. CLDR's pattern is worked out once, and what it puts around and between
    the digits kept: applying it costs twenty times as much."""
    pattern: NumberPattern = locale.currency_formats["standard"]

    def apply(number: Decimal) -> str:
        return str(pattern.apply(number, locale, currency=currency))

    found = _AROUND.fullmatch(apply(Decimal(1)))
    group, point = get_group_symbol(locale), get_decimal_symbol(locale)
    if found is None or pattern.grouping != (3, 3):
        return apply
    before, after = found.groups()
    signs = str.maketrans({",": group, ".": point})

    def show(number: Decimal) -> str:
        if number < 0:
            return apply(number)
        return f"{before}{f'{number:,.{digits}f}'.translate(signs)}{after}"

    return show


def _number(form: NumberFormat, locale: Locale) -> Writer:
    pattern = _pattern(locale, form.fraction_digits, percent=form.percent)
    step = Decimal(1).scaleb(-form.fraction_digits - (2 if form.percent else 0))

    def write(value: Any, _: str) -> str:
        number = _decimal(value)
        if number is None:
            return ""
        return str(pattern.apply(number.quantize(step, ROUND_HALF_UP) + 0, locale))

    return write


def _date(form: DateFormat, locale: Locale) -> Writer:
    styled = form.pattern in _STYLES
    pattern = locale.date_formats[form.pattern] if styled else parse_date_pattern(form.pattern)

    # Many people have the same date, and CLDR's patterns take their time. By value and zone: one
    # moment in two zones is equal, and not the same on the wall.
    @lru_cache(2_048)
    def show(value: int | str, zone: str) -> str:
        moment = _moment(value, zone)
        return "" if moment is None else tidy(str(pattern.apply(moment, locale)))

    def write(value: Any, zone: str) -> str:
        return show(value, zone) if value.__class__ in (int, str) else ""

    return write


def _plural(form: PluralFormat, locale: Locale) -> Writer:
    pattern = _pattern(locale, _FRACTION)

    def write(value: Any, _: str) -> str:
        number = _decimal(value)
        if number is None:
            return ""
        number = number.quantize(Decimal("0.01"), ROUND_HALF_UP).normalize()
        words = form.forms.get(locale.plural_form(number)) or form.forms["other"]
        return tidy(words.replace("{}", str(pattern.apply(number, locale))))

    return write


def _pattern(
    locale: Locale, fraction_digits: int, *, percent: bool = False, grouping: bool = True
) -> NumberPattern:
    formats = locale.percent_formats if percent else locale.decimal_formats
    pattern: NumberPattern = copy.copy(formats[None])
    pattern.frac_prec = (0, fraction_digits)
    if not grouping:
        pattern.grouping = (1_000, 1_000)
    return pattern


def _decimal(value: Any) -> Decimal | None:
    """A finite number, also of text that is one; nothing else."""
    if value.__class__ is float:
        found = Decimal(repr(value)) if math.isfinite(value) else None
    elif value.__class__ is int:
        found = Decimal(value)
    elif value.__class__ is str and _NUMBER.fullmatch(value.strip()):
        found = Decimal(value.strip())
    else:
        return None
    return found if found is not None and abs(found) < _LARGEST else None


def _moment(value: int | str, zone: str) -> datetime | None:
    """Of milliseconds since 1970 or RFC 3339 text, the wall clock there; of a date, itself."""
    try:
        if isinstance(value, int):
            # `fromtimestamp` takes no years beyond what the machine's clock knows.
            utc = _EPOCH.replace(tzinfo=ZoneInfo("UTC")) + timedelta(milliseconds=value)
            return utc.astimezone(zone_of(zone))
        text = value.strip()
        if _DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), datetime.min.time())
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo("UTC"))
        return aware.astimezone(zone_of(zone))
    except (ValueError, OverflowError):
        return None


@lru_cache(1_024)
def zone_of(name: str) -> ZoneInfo:
    """UTC for one that nobody knows."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")
