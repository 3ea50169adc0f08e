"""docs/expressions.md says what the language does, of everything there is in it."""

import pytest

from expressions import behaviour, calls, localtime, schema
from expressions.tests.reference_page import (
    CLOCK,
    EVENTS,
    FUNCTIONS,
    LISTS,
    PAGE,
    TEXTS,
    TYPES,
    examples,
    meant,
    page,
    result,
)


def names(parts) -> set[str]:
    return {part.name for part in parts}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "python -m expressions.tests.reference_page writes it anew"


@pytest.mark.parametrize("source", list(examples()))
def test_an_example_gives_what_the_oracle_says(source: str) -> None:
    assert result(source) == meant(source)


def test_the_page_tells_of_every_function_method_and_type() -> None:
    assert names(FUNCTIONS) == set(calls._FUNCTIONS)
    assert names(TEXTS) == {*calls._METHODS, "matches", "size", "isToday"}
    assert names(LISTS) == set(calls._MACROS)
    assert names(EVENTS) == set(behaviour._METHODS)
    assert names(CLOCK) == set(localtime.FIELDS)
    assert names(TYPES) == {*schema._NAMED, "list"}
