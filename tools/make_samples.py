"""Make `samples/online_retail` from the original table: the same bytes every time.

    python tools/make_samples.py path/to/online_retail.csv.gz [--out folder]

The original is the "Online Retail" data set of the UCI Machine Learning Repository as CSV (plain
or gzip). What is taken and what is changed stands in `samples/online_retail/SOURCE.md`.
"""

import argparse
import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "samples" / "online_retail"
FIRST_DAY = date(2010, 12, 1)
# 37 days, and the last one up to which the shop's customers number at most 1,000: as many as the
# reserved numbers below, so nobody has to be left out.
LAST_DAY = date(2011, 1, 6)
# Ofcom keeps +44 7700 900000 to 900999 for drama: they ring at nobody's.
FIRST_PHONE = 447700900000
PHONES = 1000


@dataclass
class Invoice:
    """One invoice or credit note as it is read, line after line."""

    number: str
    customer: str
    country: str
    time: datetime
    lines: list[tuple[str, str, int, Decimal]] = field(default_factory=list)

    def record(self) -> dict[str, object]:
        """The line of `invoices.ndjson`; the total is exact, prices have two decimals at most."""
        total = sum((quantity * price for _, _, quantity, price in self.lines), Decimal(0))
        return {
            "invoice": self.number,
            "kind": "cancellation" if self.number.startswith("C") else "order",
            "time": rfc3339(self.time),
            "customer": self.customer,
            "country": self.country,
            "lines": [
                [sku, name, quantity, float(price)] for sku, name, quantity, price in self.lines
            ],
            "total": float(total),
        }


def rfc3339(time: datetime) -> str:
    # The shop's clock is London's, and in these weeks that is UTC.
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def rows(original: Path) -> Iterator[dict[str, str]]:
    """The rows of the original, in its order."""
    data = original.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    yield from csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))


def invoices(table: Iterable[dict[str, str]]) -> list[Invoice]:
    """Group the rows of known customers within the days by invoice, oldest first."""
    found: dict[str, Invoice] = {}
    for row in table:
        time = datetime.fromisoformat(row["InvoiceDate"])
        if not row["CustomerID"] or not FIRST_DAY <= time.date() <= LAST_DAY:
            continue
        number = row["InvoiceNo"]
        invoice = found.setdefault(
            number,
            Invoice(number, row["CustomerID"].removesuffix(".0"), row["Country"], time),
        )
        # A few invoices were typed in across a minute; the first line tells when it began.
        invoice.time = min(invoice.time, time)
        line = (row["StockCode"], row["Description"].strip())
        invoice.lines.append((*line, int(row["Quantity"]), Decimal(row["UnitPrice"])))
    return sorted(found.values(), key=lambda invoice: (invoice.time, invoice.number))


def customers(history: list[Invoice]) -> list[dict[str, str]]:
    """Everyone in the history, in order of appearance, each with a number of their own."""
    first: dict[str, Invoice] = {}
    for invoice in history:
        first.setdefault(invoice.customer, invoice)
    if len(first) > PHONES:
        raise SystemExit(
            f"{len(first)} customers, but {PHONES} reserved numbers: end the days sooner"
        )
    return [
        {
            "customer": customer,
            "country": invoice.country,
            "phone": f"+{FIRST_PHONE + index}",
            "since": rfc3339(invoice.time),
        }
        for index, (customer, invoice) in enumerate(first.items())
    ]


def ndjson(records: Iterable[dict[str, object]] | list[dict[str, str]]) -> bytes:
    """One JSON object a line, no spaces."""
    text = (json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in records)
    return "".join(text).encode()


def write(original: Path, out: Path) -> None:
    """Write both files into `out`."""
    history = invoices(rows(original))
    out.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(ndjson(i.record() for i in history), compresslevel=9, mtime=0)
    (out / "invoices.ndjson.gz").write_bytes(packed)
    (out / "customers.ndjson").write_bytes(ndjson(customers(history)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("original", type=Path, help="the CSV of the data set, plain or gzip")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    write(arguments.original, arguments.out)
    print(f"samples: written to {arguments.out}")


if __name__ == "__main__":
    main()
