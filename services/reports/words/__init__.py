"""What the dashboard says, in Turkish and English, and how it writes numbers. Pure."""

from services.reports.words.speech import LANGUAGES, WORDS, Speech, choose

__all__ = ["LANGUAGES", "WORDS", "Speech", "choose"]
