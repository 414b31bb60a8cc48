"""The numbers of docs/localization.md are those of the code."""

import re
from pathlib import Path

import pytest

from pipeline.config.localizers import LOCALIZERS, GtadNetworkSettings, GtadSettings, GtadWindowsSettings
from pipeline.localization.gtad.network import GtadNetwork, GtadSizes

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "localization.md"


def rows() -> dict[str, tuple[str, str]]:
    """Return the rows of the table that compares the two forms of G-TAD."""
    table = DOCUMENT.read_text(encoding="utf-8").partition("| | `gtad` (ActivityNet)")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name: (video, windows) for name, video, windows in cells}


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e-\d+)?", text)]


@pytest.mark.parametrize(("column", "settings"), [(0, GtadSettings), (1, GtadWindowsSettings)])
def test_the_table_of_gtad_has_the_default_settings(column: int, settings: type[GtadNetworkSettings]) -> None:
    default, of_form = settings(features=["-"]), {name: numbers(cells[column]) for name, cells in rows().items()}
    assert of_form["bins of a segment, of its context"] == [default.bins, default.context_bins]
    assert of_form["convolutions over the map"][0] == default.kernel
    assert of_form["soft-NMS"][:2] == [default.soft_nms_sigma, default.max_detections]
    assert of_form["Adam"][0] == default.lr
    assert of_form["Adam"][-1] == default.batch_size
    assert (default.reg_weight, default.cls_weight) == ((10, 1) if column == 0 else (1, 10))
    if isinstance(default, GtadWindowsSettings):
        assert of_form["sequence"] == [
            *(default.temporal_scale, default.window_stride, default.snippet_frames, default.fps),
        ]
        assert of_form["longest segment"] == [default.max_duration]
        assert of_form["soft-NMS"][-1] == default.max_seconds
        assert default.clip_norm in of_form["Adam"]
    else:
        assert of_form["sequence"] == [default.temporal_scale]
        assert default.max_duration == default.temporal_scale


@pytest.mark.parametrize(("column", "settings"), [(0, GtadSettings), (1, GtadWindowsSettings)])
def test_the_table_of_gtad_has_the_numbers_of_parameters(column: int, settings: type[GtadNetworkSettings]) -> None:
    default, cell = settings(features=["-"]), numbers(rows()["parameters"][column])
    pairs = [(cell[0], cell[1]), (cell[2], cell[3])] if column == 0 else [(cell[0], cell[1])]
    for parameters, dim in pairs:
        sizes = GtadSizes(4, 4, default.bins, default.context_bins, default.kernel)  # positions have no parameters
        assert sum(value.numel() for value in GtadNetwork(int(dim), sizes).parameters()) == parameters


def test_every_localizer_has_a_section() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in LOCALIZERS)
