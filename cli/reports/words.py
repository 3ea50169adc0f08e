"""Figures as people read them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from cli.told import time_told
from merhaba.reports.v1 import Dimension, Freshness, Insight, Measure, QueryRow, Value

M = Measure
_RATES: Final = range(M.MEASURE_DELIVERY_RATE, M.MEASURE_THEIR_RESPONSE_TIME)
_TIMES: Final = (M.MEASURE_THEIR_RESPONSE_TIME, M.MEASURE_OUR_RESPONSE_TIME)
_MONEY: Final = (
    *(M.MEASURE_REVENUE, M.MEASURE_COST, M.MEASURE_COST_PER_DELIVERED, M.MEASURE_COST_PER_READ),
    *(M.MEASURE_COST_PER_REPLY, M.MEASURE_COST_PER_CLICK, M.MEASURE_COST_PER_CONVERSION),
)
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_KINDS: Final[Mapping[int, str]] = {
    Insight.KIND_BEST_HOUR: "best hour",
    Insight.KIND_BEST_SEGMENT: "best segment",
    Insight.KIND_BEST_VARIANT: "best variant",
    Insight.KIND_FATIGUED_CONTACTS: "too many messages from number",
    Insight.KIND_RETIRING_TEMPLATE: "template that does worse",
    Insight.KIND_CHANGE: "changed",
}


def name_of(enum: Any, number: int) -> str:
    """`read rate` of a measure, `journey step` of a dimension."""
    names = {value: name for name, value in enum.items()}
    prefix = names[0].removesuffix("UNSPECIFIED")
    return str(names[number].removeprefix(prefix)).lower().replace("_", " ")


def told(value: Value, currency: str = "") -> str:
    """A figure with what is needed to judge it."""
    if not value.HasField("value"):
        return "-"
    number = _number(value.measure, value.value, currency)
    if value.HasField("lower"):
        lower, upper = (_number(value.measure, one) for one in (value.lower, value.upper))
        return f"{number} ({lower} to {upper}, of {value.sample_size:,})"
    return number


def before(value: Value, currency: str = "") -> str:
    """The same of the period before, and how it moved."""
    if not value.HasField("previous_value"):
        return "-"
    old = value.previous_value
    number = _number(value.measure, old, currency)
    if not old or not value.HasField("value"):
        return number
    return f"{number} ({value.value / old - 1:+.0%})"


def _number(measure: int, number: float, currency: str = "") -> str:
    if measure in _RATES:
        return f"{number:.1%}"
    if measure in _MONEY:
        small = 0 < abs(number) < 1
        return f"{number:,.{4 if small else 2}f} {currency}".strip()
    if measure in _TIMES:
        minutes, seconds = divmod(round(number), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
    return f"{number:,.0f}" if number == round(number) else f"{number:,.2f}"


def figures(values: Iterable[Value], compared: bool = True) -> Table:
    """Measures below each other."""
    table = Table("measure", "figure", *(["before"] if compared else []))
    for value in values:
        cells = [name_of(Measure, value.measure), told(value)]
        table.add_row(*cells, *([before(value)] if compared else []))
    return table


def rows(found: Sequence[QueryRow], dimensions: Sequence[str], measures: Sequence[int]) -> Table:
    """Rows of an answer."""
    timed = any(row.HasField("bucket_time") for row in found)
    compared = any(value.HasField("previous_value") for row in found for value in row.values)
    table = Table(*(["from"] if timed else []), *dimensions)
    for measure in measures:
        table.add_column(name_of(Measure, measure), justify="right")
        if compared:
            table.add_column("before", justify="right")
    for row in found:
        cells = [f"{row.bucket_time.ToDatetime(UTC):%Y-%m-%d %H:%M}Z"] if timed else []
        cells += [one.label or one.value or "(none)" for one in row.dimensions]
        for value in row.values:
            cells.append(told(value, row.currency_code))
            if compared:
                cells.append(before(value, row.currency_code))
        table.add_row(*map(Text, cells))
    return table


def insights(found: Iterable[Insight]) -> list[str]:
    """What stands out, as numbers with their uncertainty."""
    return [
        f"{_KINDS.get(one.kind, 'stands out')} {_subject(one)}:"
        f" {name_of(Measure, one.value.measure)} {told(one.value)} against {told(one.baseline)};"
        f" sure to {one.probability:.1%}"
        for one in found
    ]


def _subject(one: Insight) -> str:
    if one.dimension == Dimension.DIMENSION_SEND_HOUR and one.subject.isdigit():
        return f"{int(one.subject):02}:00"
    return (one.label or one.subject).strip()


def heat(cells: Iterable[Any]) -> Table:
    """A measure by weekday and hour; the darker, the more."""
    found = {(cell.weekday, cell.hour): cell.value for cell in cells}
    known = [value.value for value in found.values() if value.HasField("value")]
    lowest, highest = min(known, default=0.0), max(known, default=0.0)
    table = Table("", *(f"{hour:02}" for hour in range(24)), padding=(0, 0), collapse_padding=True)
    for day, name in enumerate(_DAYS, 1):
        shown = []
        for hour in range(24):
            value = found[day, hour]
            if not value.HasField("value"):
                shown.append(Text("·", style="dim"))
                continue
            share = (value.value - lowest) / (highest - lowest) if highest > lowest else 0.0
            style = "bold reverse" if share > 2 / 3 else "bold" if share > 1 / 3 else ""
            shown.append(Text(_short(value), style=style))
        table.add_row(name, *shown)
    return table


def _short(value: Value) -> str:
    if value.measure in _RATES:
        return f"{value.value * 100:.0f}"
    return f"{value.value:.0f}"


def fresh(freshness: Freshness) -> str:
    """How new the figures are."""
    seconds = freshness.lag_duration.ToTimedelta().total_seconds()
    final = "" if freshness.cost_final else "; cost by the rate card where Meta has not told"
    return f"everything until {time_told(freshness.fold_time)} counts ({seconds:.0f} s ago){final}"
