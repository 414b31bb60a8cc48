"""The proposal file, and its statement on external data."""

import json
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io.atomic import write_json
from pipeline.localization.proposals import Proposal, external_data_statement, read_proposals, write_proposals


def test_read_proposals_gives_time_order(tmp_path: Path) -> None:
    path = tmp_path / "proposals.json"
    late, early = Proposal(5.0, 6.0, 0.9), Proposal(0.0, 2.0, 0.1)
    write_proposals(path, {"v_b": [late, early], "v_a": []}, {"used": False, "details": ""})
    assert read_proposals(path) == {"v_a": [], "v_b": [early, late]}
    written = json.loads(path.read_text())
    assert written["version"] == "VERSION 1.3"
    assert written["results"]["v_b"][0] == {"segment": [0.0, 2.0], "score": 0.1}
    assert written["external_data"] == {"used": False, "details": ""}


def test_read_proposals_of_the_published_file(shared: Path) -> None:
    proposals = read_proposals(shared / "data" / "proposals" / "tsn_dbg_esgn_testset_num5044.json")
    assert len(proposals) == 5044
    assert sum(map(len, proposals.values())) == 12443
    assert all(of_video == sorted(of_video) for of_video in proposals.values())


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], "not a proposal file"),
        ({"v_a": {"segment": [0, 1]}}, "not a proposal file"),
        ({"v_a": [{"segment": [0, 1]}]}, "video v_a: .* is not a proposal"),
        ({"v_a": [{"segment": [0, 1, 2], "score": 1}]}, "video v_a: .* is not a proposal"),
        ({"v_a": [{"segment": ["x", 1], "score": 1}]}, "video v_a: .* is not a proposal"),
        ({"v_a": [{"segment": [3, 1], "score": 1}]}, "video v_a: proposal from 3"),
        ({"v_a": [{"segment": [-3, 1], "score": 1}]}, "video v_a: proposal from -3"),
    ],
)
def test_read_proposals_rejects_malformed_entries(tmp_path: Path, results: object, expected: str) -> None:
    path = tmp_path / "proposals.json"
    path.write_text(json.dumps({"results": results}))
    with pytest.raises(PipelineError, match=expected):
        read_proposals(path)


def features_from(folder: Path, initial_weights: str | None) -> Path:
    """Write a features manifest whose provenance names an encoder."""
    encoder, features = folder / "encoder" / "manifest.json", folder / "features" / "f" / "0000" / "manifest.json"
    for path in (encoder, features):
        write_json(path, {})
    write_json(
        encoder.with_name("manifest.provenance.json"),
        {"stage": "pretrain_encoder", "config": {"initial_weights": initial_weights}, "inputs": {}},
    )
    write_json(
        features.with_name("manifest.provenance.json"),
        {"stage": "extract_features", "config": {}, "inputs": {"../../../encoder/manifest.json": "0"}},
    )
    return features


def test_external_data_names_the_initial_weights_of_encoders(tmp_path: Path) -> None:
    features = features_from(tmp_path / "own", None)
    pretrained = features_from(tmp_path / "pretrained", "/weights/ig65m.pth")
    foreign = tmp_path / "foreign" / "i3d" / "0000" / "manifest.json"
    assert external_data_statement([features]) == {"used": False, "details": ""}
    assert external_data_statement([features, pretrained]) == {
        "used": True,
        "details": "an encoder started from ig65m.pth",
    }
    assert external_data_statement([foreign]) == {"used": True, "details": "clip features i3d, made elsewhere"}
