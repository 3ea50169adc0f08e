"""One language: its words, and how it writes numbers, money, times and names of things. Pure."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, get_day_names
from babel.numbers import format_currency, format_decimal, format_percent

from services.reports.words import english, reasons, turkish
from services.reports.words.kinds import kind_of

LANGUAGES: Final = {"tr": "Türkçe", "en": "English"}
WORDS: Final[Mapping[str, Mapping[str, str]]] = {"tr": turkish.WORDS, "en": english.WORDS}
NOTHING: Final = "–"
_TURKISH_LOWER: Final = {"I": "ı", "İ": "i"}
_TURKISH_UPPER: Final = {"ı": "I", "i": "İ"}
_SMALL_AMOUNT: Final = "¤#,##0.00##"
_DEFAULT: Final = "en"
_MEGABYTE: Final = 1_000_000


class Speech:
    """One language: words and numbers."""

    def __init__(self, language: str, zone: str) -> None:
        """`zone`: in which times are told."""
        self.language = language
        self._words = WORDS[language]
        self._zone = ZoneInfo(zone)

    def __call__(self, key: str, **values: object) -> str:
        """The words for `key`, with values put in."""
        return self._words[key].format(**values)

    def lowered(self, words: str) -> str:
        """Words as they stand within a sentence."""
        first = _TURKISH_LOWER.get(words[:1]) if self.language == "tr" else None
        return (first or words[:1].lower()) + words[1:]

    def raised(self, words: str) -> str:
        """Words as they begin a sentence."""
        first = _TURKISH_UPPER.get(words[:1]) if self.language == "tr" else None
        return (first or words[:1].upper()) + words[1:]

    def state(self, state: str) -> str:
        """The state of a campaign; one nobody knew as it is."""
        return self._words.get(f"state.{state}", state)

    def event(self, name: str) -> str:
        """What happened; what the business itself named stays as it is."""
        return self._words.get(f"event.{name}", name)

    def word(self, word: str) -> str:
        """A word of a service, where there is one for people; else as it is."""
        return self._words.get(f"word.{word}", word.replace("_", " "))

    def gate(self, gate: str) -> str:
        """What a gate is about, and why it refuses."""
        return self._words.get(f"gate.{gate}", gate)

    def code(self, code: int) -> str:
        """What an error code of Meta means."""
        return reasons.meaning(code, self.language)

    def reason(self, kind: str, reason: str) -> str:
        """Why a link in a chain did what it did, or until when."""
        if kind == "gate":
            until = reason.removeprefix("until ")
            if until != reason:
                return self("until", time=self.moment(datetime.fromisoformat(until)))
            return self.word(reason)
        return self.code(int(reason)) if reason.isdecimal() else self.word(reason)

    def market(self, market: str) -> str:
        """A country."""
        known: Mapping[str, str] = _locale(self.language).territories
        return known.get(market, market) or NOTHING

    def category(self, category: str) -> str:
        """A category of messages."""
        return self._words.get(f"category.{category}", category) or NOTHING

    def number(self, value: int) -> str:
        """A count: 12,345 or 12.345."""
        return format_decimal(value, locale=self.language)

    def decimal(self, value: float | None) -> str:
        """A number with what it needs behind the point; a dash where there is none."""
        return NOTHING if value is None else format_decimal(value, "#,##0.##", self.language)

    def percent(self, share: float | None) -> str:
        """A share with one decimal; a dash where there is none."""
        return self._percent(share, "#,##0.0")

    def whole_percent(self, share: float | None) -> str:
        """A share without decimals and sign, for narrow places."""
        return (
            NOTHING if share is None else format_decimal(round(share * 100), locale=self.language)
        )

    def signed(self, share: float | None) -> str:
        """A difference as a share: +12.3 %."""
        return NOTHING if share is None else f"{'+' if share > 0 else ''}{self.percent(share)}"

    def money(self, amount: float | None, currency: str) -> str:
        """An amount in units of its currency; a dash where there is none."""
        if amount is None:
            return NOTHING
        value, name = Decimal(str(amount)), currency or "XXX"
        if 0 < abs(value) < 1:  # what one message costs differs behind the second digit
            return format_currency(value, name, _SMALL_AMOUNT, self.language, currency_digits=False)
        return format_currency(value, name, locale=self.language)

    def amounts(self, amounts: Mapping[str, int]) -> str:
        """Amounts in micros by currency, each currency apart; a dash where there is none."""
        return (
            " + ".join(
                format_currency(
                    Decimal(micros) / 1_000_000, currency or "XXX", locale=self.language
                )
                for currency, micros in sorted(amounts.items())
            )
            or NOTHING
        )

    def measure(self, key: str, value: float | None, currency: str = "") -> str:
        """A measured number, as such are written."""
        match kind_of(key):
            case "rate":
                return self.percent(value)
            case "money":
                return self.money(value, currency) if currency else self.decimal(value)
            case "time":
                return (
                    NOTHING
                    if value is None
                    else self("seconds", count=format_decimal(round(value), locale=self.language))
                )
            case "ratio":
                return NOTHING if value is None else f"{self.decimal(value)}×"
            case "count":
                return self.decimal(value)

    def size(self, size: int) -> str:
        """How large a file is."""
        return NOTHING if not size else f"{self.decimal(size / _MEGABYTE)} MB"

    def moment(self, moment: datetime | None) -> str:
        """Day and time in the installation's zone."""
        return self._time(moment, "d MMM y HH:mm")

    def day(self, moment: datetime) -> str:
        """A day in the installation's zone."""
        return self._time(moment, "d MMM y")

    def clock(self, moment: datetime) -> str:
        """Time of day in the installation's zone."""
        return self._time(moment, "HH:mm:ss")

    def minute(self, moment: datetime) -> str:
        """Time of day to the minute."""
        return self._time(moment, "HH:mm")

    def bucket(self, start: datetime, grain: str) -> str:
        """An hour, a day, the week that begins there, or a month."""
        if grain == "hour":
            return self._time(start, "d MMM HH:mm")
        return format_date(start, "MMM y" if grain == "month" else "d MMM", locale=self.language)

    def weekday(self, day: int) -> str:
        """A day of the week in short; 1 is Monday."""
        names: Mapping[int, str] = get_day_names("abbreviated", locale=self.language)
        return names[day - 1]

    def _percent(self, share: float | None, digits: str) -> str:
        if share is None:
            return NOTHING
        pattern = f"{digits}%" if self.language == "en" else f"%{digits}"
        return format_percent(share, pattern, self.language)

    def _time(self, moment: datetime | None, pattern: str) -> str:
        if moment is None:
            return NOTHING
        return format_datetime(moment.astimezone(self._zone), pattern, locale=self.language)


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


@lru_cache(maxsize=len(LANGUAGES))
def _locale(language: str) -> Locale:
    return Locale.parse(language)
