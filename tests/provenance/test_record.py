"""Provenance records lead from every output back to the external files."""

from pathlib import Path

import pytest

from pipeline.config.reencode import Reencode
from pipeline.provenance.record import write_record
from pipeline.provenance.trace import summarize_provenance


def test_summarize_provenance_follows_records_to_the_external_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data/train.json", "results/corpus/manifest.json", "results/video/0000/manifest.json"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    write_record(Path("results/corpus/manifest.json"), "build_corpus", Reencode(), [Path("data/train.json")])
    write_record(
        Path("results/video/0000/manifest.json"),
        "reencode",
        Reencode(crf=18),
        [Path("results/corpus/manifest.json")],
    )
    summaries = summarize_provenance([Path("results/video/0000/manifest.json")])
    assert list(summaries) == [
        "data/train.json",
        "results/corpus/manifest.json",
        "results/video/0000/manifest.json",
    ]
    assert set(summaries["data/train.json"]) == {"sha256"}
    assert summaries["results/video/0000/manifest.json"]["stage"] == "reencode"
    assert summaries["results/video/0000/manifest.json"]["config"]["crf"] == 18
    assert summaries["results/video/0000/manifest.json"]["config_digest"] == Reencode(crf=18).digest()
