"""Measured rates: how much work of each kind a core or a card does in a second.

`rates.json` holds them, each with where it was measured. A rate that was not measured in this form, but calculated from
a measurement, says how (`derived`).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

CPU = "cpu"
"""The device of jobs without a GPU: one core."""
RATES = Path(__file__).with_name("rates.json")


@dataclass(frozen=True)
class Rate:
    """How fast a kind of work is done.

    Attributes:
        stage: the stage.
        kind: what decides the rate, within the stage (`WorkPart.kind`).
        device: name of a card, or `cpu`: one core.
        unit: what is counted.
        per_second: how many of them in a second.
        source: where the rate was measured.
        record: section, subject and figure of a record of `benchmarks/gpu.py`; empty if there is no such record.
        times: number by which the recorded figure is multiplied.
        derived: how the rate was calculated from the measurement; empty if it was measured in this form.
    """

    stage: str
    kind: str
    device: str
    unit: str
    per_second: float
    source: str
    record: list[str] = field(default_factory=list)
    times: float = 1.0
    derived: str = ""


@dataclass(frozen=True)
class ShippedRates:
    """All rates of this version.

    Attributes:
        cards: short name of each card -> its full name, and the rest of the machine.
        start_s: time that every job takes to start [s].
        video_bytes: size of a second of re-encoded video [bytes].
    """

    cards: dict[str, str]
    start_s: float
    video_bytes: float
    _rates: dict[tuple[str, str, str], Rate]

    def find(self, stage: str, kind: str, device: str) -> Rate | None:
        """Return the rate of a kind of work on a device; None if nobody has measured it."""
        return self._rates.get((stage, kind, device))

    def __iter__(self) -> Iterator[Rate]:
        return iter(self._rates.values())


@cache
def shipped_rates() -> ShippedRates:
    """Read the rates that come with this version."""
    data = json.loads(RATES.read_text(encoding="utf-8"))
    rates = [Rate(**entry) for entry in data["rates"]]
    return ShippedRates(
        cards=data["cards"],
        start_s=data["start_s"],
        video_bytes=data["video_bytes"]["per_second"],
        _rates={(rate.stage, rate.kind, rate.device): rate for rate in rates},
    )
