"""What reports say, as tables."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from cli.reports import words
from merhaba.reports.v1 import CampaignReport, CostLine, Measure, MoneyAmount, QueryRow, Value


def funnel(report: CampaignReport) -> Table:
    """Recipients by how far they came, with the money."""
    counts = report.funnel
    names = [field.name for field in counts.DESCRIPTOR.fields]
    table = Table(*(name.replace("_", " ") for name in names), "cost", "revenue")
    money = (amounts(report.costs), amounts(report.revenues))
    table.add_row(*(f"{getattr(counts, name):,}" for name in names), *money)
    return table


def outcomes(report: CampaignReport) -> Table:
    """Where recipients ended, or stand."""
    outcome = report.outcome
    found = {
        name: getattr(outcome, name)
        for name in ("read", "delivered", "sent", "pending", "unknown", "held_out", "cancelled")
    }
    found |= {f"suppressed: {gate}": n for gate, n in sorted(outcome.suppressed_gates.items())}
    found |= {f"failed: {code}": n for code, n in sorted(outcome.failed_codes.items())}
    table = Table("outcome", "recipients")
    for name, count in found.items():
        if count:
            table.add_row(name.replace("_", " "), f"{count:,}")
    return table


def variants(report: CampaignReport) -> Table:
    """What came of each variant."""
    measures = [value.measure for value in report.variants[0].rates] if report.variants else []
    table = Table("variant", "template", "recipients")
    for measure in measures:
        table.add_column(words.name_of(Measure, measure), justify="right")
    table.add_column("cost", justify="right")
    for one in report.variants:
        table.add_row(
            one.variant or "-",
            one.template_name,
            f"{one.recipients:,}",
            *(words.told(value) for value in one.rates),
            amounts(one.costs),
        )
    return table


def amounts(found: Sequence[MoneyAmount]) -> str:
    """Money of all currencies."""
    told = [
        f"{one.amount_micros / 1_000_000:,.2f} {one.currency_code}"
        for one in found
        if one.amount_micros
    ]
    return ", ".join(told) or "-"


def costs(lines: Sequence[CostLine], by: Sequence[str]) -> Table:
    """What parts of the messages cost."""
    # Of values the cost itself stands first
    measures = [value.measure for value in lines[0].values][1:] if lines else []
    table = Table(*by, "messages", "billable", "cost")
    for measure in measures:
        table.add_column(words.name_of(Measure, measure), justify="right")
    for line in lines:
        table.add_row(
            *(Text(one.label or one.value or "(none)") for one in line.dimensions),
            f"{line.messages:,}",
            f"{line.billable_messages:,}",
            f"{line.cost_micros / 1_000_000:,.2f} {line.currency_code}",
            *(words.told(value, line.currency_code) for value in line.values[1:]),
        )
    return table


def campaigns(found: Sequence[QueryRow]) -> Table:
    """Campaigns by the figures that matter most."""
    wanted = [
        *(Measure.MEASURE_SENT, Measure.MEASURE_DELIVERY_RATE, Measure.MEASURE_READ_RATE),
        *(Measure.MEASURE_REPLY_RATE, Measure.MEASURE_CLICK_RATE, Measure.MEASURE_CONVERTED),
    ]
    table = Table("campaign", *(words.name_of(Measure, measure) for measure in wanted))
    for row in found:
        values = {value.measure: value for value in row.values}
        shown = []
        for measure in wanted:
            plain = Value(measure=measure)
            if values[measure].HasField("value"):
                plain.value = values[measure].value
            shown.append(words.told(plain))
        table.add_row(Text(row.dimensions[0].label), *shown)
    return table
