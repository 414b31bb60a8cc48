"""Every output can be walked back to the user's own files."""

from pathlib import Path

import pytest

from pipeline.config.reencode import Reencode
from pipeline.provenance.record import record, trace


def test_trace_walks_back_to_the_users_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data/train.json", "results/corpus/manifest.json", "results/video/0000/manifest.json"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    record(Path("results/corpus/manifest.json"), "build_corpus", Reencode(), [Path("data/train.json")])
    record(
        Path("results/video/0000/manifest.json"),
        "reencode",
        Reencode(crf=18),
        [Path("results/corpus/manifest.json")],
    )
    found = trace([Path("results/video/0000/manifest.json")])
    assert list(found) == [
        "data/train.json",
        "results/corpus/manifest.json",
        "results/video/0000/manifest.json",
    ]
    assert set(found["data/train.json"]) == {"sha256"}
    assert found["results/video/0000/manifest.json"]["stage"] == "reencode"
    assert found["results/video/0000/manifest.json"]["config"]["crf"] == 18
    assert found["results/video/0000/manifest.json"]["config_digest"] == Reencode(crf=18).digest()
