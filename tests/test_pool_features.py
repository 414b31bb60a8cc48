"""Pooling over all rows of each video does not depend on the division into shards."""

from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation_files import write_corpus

from pipeline.features.pooled import PooledVideoFeatures
from pipeline.features.shard import write_shard
from pipeline.features.time_grid import ClipGrid
from pipeline.pool_features import main

RNG = np.random.default_rng(0)
ROWS = {f"v_{number}": RNG.normal(size=(1 + number % 5, 4)).astype(np.float32) for number in range(9)}


def pool(folder: Path, shards: int, config: str = "{}") -> tuple[int, Path]:
    """Write the rows as a feature of `shards` shards, and pool it."""
    corpus = write_corpus(folder / "corpus", [(video, "train", True) for video in ROWS], shards=shards)
    for shard in range(shards):
        items = [(video, 9.0, rows) for number, (video, rows) in enumerate(ROWS.items()) if number % shards == shard]
        manifest = folder / "features" / "toy" / f"{shard:04d}" / "manifest.json"
        write_shard(manifest, items, dim=4, grid=ClipGrid(15.0, 16, 16), metadata={})
    output = folder / "video_features" / "manifest.json"
    arguments = ["--config", config, "--feature", "toy", "--corpus", str(corpus)]
    return main([*arguments, "--features", str(folder / "features"), "--output", str(output)]), output


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_pool_features_writes_maximum_and_mean_over_all_rows(tmp_path: Path, shards: int) -> None:
    status, output = pool(tmp_path, shards)
    assert status == 0
    features = PooledVideoFeatures.open(output)
    assert features.videos == sorted(ROWS)
    for video, rows in ROWS.items():
        np.testing.assert_array_equal(features.vectors_of([video], "max")[0], rows.max(axis=0))
        np.testing.assert_allclose(features.vectors_of([video], "mean")[0], rows.mean(axis=0), rtol=1e-6)


def test_pool_features_does_not_depend_on_the_shards(tmp_path: Path) -> None:
    manifests = [pool(tmp_path / str(shards), shards)[1].read_bytes() for shards in (1, 7)]
    assert manifests[0] == manifests[1]


def test_pool_features_writes_the_configured_poolings_only(tmp_path: Path) -> None:
    _, output = pool(tmp_path, 1, '{"pools": ["mean"]}')
    assert set(PooledVideoFeatures.open(output)._arrays) == {"mean"}


def test_pool_features_names_a_feature_that_is_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, output = pool(tmp_path, 1)
    arguments = ["--feature", "other", "--corpus", str(tmp_path / "corpus" / "manifest.json")]
    assert main([*arguments, "--features", str(tmp_path / "features"), "--output", str(output)]) == 2
    assert "other/0000/manifest.json: no such manifest" in capsys.readouterr().err
