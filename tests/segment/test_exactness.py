"""The engine against the oracle on random rules and lives; the benchmark draws many more."""

from bench.exactness import search


def test_late_twice_out_of_order_restarted_and_edited_it_says_what_the_oracle_says() -> None:
    verdict = search(range(700_000, 700_100), 12_000)
    assert verdict.checks >= 5_000
    assert verdict.differences == []
