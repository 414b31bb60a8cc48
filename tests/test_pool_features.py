"""Pooling takes every clip of a video once, however the videos are divided into shards."""

from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation_files import write_corpus

from pipeline.features.combined import ClipGrid, write_features
from pipeline.features.pooled import Globals
from pipeline.pool_features import main

DRAW = np.random.default_rng(0)
CLIPS = {f"v_{number}": DRAW.normal(size=(1 + number % 5, 4)).astype(np.float32) for number in range(9)}


def pool(folder: Path, shards: int, config: str = "{}") -> tuple[int, Path]:
    """Write the clips as a feature of so many shards, and pool it."""
    corpus = write_corpus(folder / "corpus", [(video, "train", True) for video in CLIPS], shards=shards)
    for shard in range(shards):
        items = [(video, 9.0, clips) for number, (video, clips) in enumerate(CLIPS.items()) if number % shards == shard]
        manifest = folder / "features" / "toy" / f"{shard:04d}" / "manifest.json"
        write_features(manifest, items, dim=4, grid=ClipGrid(15.0, 16, 16), facts={})
    output = folder / "globals" / "manifest.json"
    words = ["--config", config, "--feature", "toy", "--corpus", str(corpus)]
    return main([*words, "--features", str(folder / "features"), "--output", str(output)]), output


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_vectors_are_the_maximum_and_the_mean_over_all_clips(tmp_path: Path, shards: int) -> None:
    status, output = pool(tmp_path, shards)
    assert status == 0
    found = Globals.open(output)
    assert found.videos == sorted(CLIPS)
    for video, clips in CLIPS.items():
        np.testing.assert_array_equal(found.rows([video], "max")[0], clips.max(axis=0))
        np.testing.assert_allclose(found.rows([video], "mean")[0], clips.mean(axis=0), rtol=1e-6)


def test_shards_do_not_matter(tmp_path: Path) -> None:
    manifests = [pool(tmp_path / str(shards), shards)[1].read_bytes() for shards in (1, 7)]
    assert manifests[0] == manifests[1]


def test_only_what_is_asked_for_is_kept(tmp_path: Path) -> None:
    _, output = pool(tmp_path, 1, '{"pools": ["mean"]}')
    assert set(Globals.open(output)._arrays) == {"mean"}


def test_a_feature_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, output = pool(tmp_path, 1)
    words = ["--feature", "other", "--corpus", str(tmp_path / "corpus" / "manifest.json")]
    assert main([*words, "--features", str(tmp_path / "features"), "--output", str(output)]) == 2
    assert "other/0000/manifest.json: no such manifest" in capsys.readouterr().err
