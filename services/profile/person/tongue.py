"""Which language a text is in."""

from functools import cache
from typing import Final

from py3langid.langid import (  # type: ignore[import-untyped]  # it has no stubs
    MODEL_FILE,
    LanguageIdentifier,
)

_LANGUAGES: Final = (
    *("tr", "en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "uk", "ro", "el", "bg", "az"),
    *("ar", "fa", "he", "ku", "hi", "ur", "id"),
)
"""Those told apart. The more there are, the more often a short text is taken for one that nobody
writes to us in."""
_SURE: Final = 0.75
_FEWEST_LETTERS: Final = 5
_LONGEST: Final = 400


def detect(text: str) -> str:
    """The language (ISO 639-1) of a text; empty when it is too short or could be several."""
    text = text[:_LONGEST]
    if sum(map(str.isalpha, text)) < _FEWEST_LETTERS:
        return ""
    language, probability = _identifier().classify(text)
    return str(language) if probability >= _SURE else ""


def load() -> None:
    """Load the model, which takes a second: so at the start, and not at somebody's message."""
    _identifier()


@cache
def _identifier() -> LanguageIdentifier:
    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(_LANGUAGES)
    found.nb_ptc = found.nb_ptc.astype("float32")  # which each text would be, row by row
    return found
