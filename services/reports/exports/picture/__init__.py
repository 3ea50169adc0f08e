"""The report of a campaign as a page to print or to send on: PDF or PNG."""

from datetime import datetime

from services.reports.exports.picture.pdf import pdf
from services.reports.exports.picture.png import png
from services.reports.exports.picture.sheet import sheet
from services.reports.ledger import CampaignReport
from services.reports.words import Speech


def picture(report: CampaignReport, kind: str, language: str, zone: str, now: datetime) -> bytes:
    """A campaign's report as a file of a kind, `pdf` or `png`. `language`: `tr`, else English."""
    drawn = sheet(report, Speech("tr" if language == "tr" else "en", zone), now)
    return pdf(drawn) if kind == "pdf" else png(drawn)


__all__ = ["picture"]
