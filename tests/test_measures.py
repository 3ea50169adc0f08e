"""The page about measures says what the contract and the code say, and leaves nothing out."""

from merhaba.reports.v1 import Dimension, Measure
from tools.measures import PAGE, page


def test_the_page_is_what_contract_and_code_say() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tools.measures"


def test_every_measure_and_dimension_is_defined_once() -> None:
    lines = PAGE.read_text().splitlines()
    for enum, prefix in ((Measure, "MEASURE_"), (Dimension, "DIMENSION_")):
        for name, number in enum.items():
            if number:
                short = name.removeprefix(prefix)
                told = [line for line in lines if line.startswith(f"| `{short}` |")]
                assert len(told) == 1, short
                assert told[0].split("|")[2].strip(), f"{short} is not explained"
