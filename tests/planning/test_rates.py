"""The shipped rates: they are those of the record that they name."""

import json

import pytest

from pipeline.config.load import stages
from pipeline.planning.rates import CPU, Rate, shipped_rates
from pipeline.provenance.code_hash import ROOT

RATES = list(shipped_rates())


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate.record], ids=lambda rate: f"{rate.stage}-{rate.kind}")
def test_a_rate_of_a_card_is_that_of_its_record(rate: Rate) -> None:
    record = json.loads((ROOT / rate.source).read_text(encoding="utf-8"))
    rows = {(row["section"], row["subject"], row["figure"]): row for row in record["rows"]}
    assert rate.per_second == pytest.approx(rows[tuple(rate.record)]["value"] * rate.times, rel=1e-5)
    assert rate.device in (CPU, *shipped_rates().cards)
    if rate.device != CPU:
        assert record["machine"] == shipped_rates().cards[rate.device]


def test_every_rate_belongs_to_a_stage_and_says_where_it_was_measured() -> None:
    assert {rate.stage for rate in RATES} <= stages().keys()
    assert all(rate.source and rate.unit and rate.per_second > 0 for rate in RATES)


def test_a_recorded_figure_that_is_divided_among_workers_is_called_derived() -> None:
    assert all(rate.derived for rate in RATES if rate.times < 1)


def test_an_unmeasured_kind_has_no_rate() -> None:
    assert shipped_rates().find("extract_features", "no_such_network", "h100") is None
