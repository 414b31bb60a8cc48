"""Names in data never lead out of their folder."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers.evaluation_files import write_captions, write_corpus, write_shard
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.datasets.activitynet_json import read_activitynet
from pipeline.datasets.annotations import read_captions
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.tsp_csv import COLUMNS, read_tsp
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.features.external_files import open_source
from pipeline.io.atomic import write_json
from pipeline.localization.external_proposals import read_proposal_file, restrict_to_videos
from pipeline.provenance.manifest import read_manifest
from pipeline.write_submission import main as write_submission

UNSAFE = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "a/../../b",
    "..\\x",
    "C:\\x",
    "a\0b",
    "a\nb",
    "\ud800",
    "x" * 300,
]
EXAMPLES = [*UNSAFE, "~", "-rf", "$(id)", "`id`", "a;b", "a b", "v_é", "con", ".hidden", "%2e%2e", "..."]

names = st.one_of(
    st.sampled_from(EXAMPLES),
    st.text(max_size=20),
    st.lists(st.sampled_from(["..", ".", "/", "\\", "a", "\0"]), max_size=6).map("".join),
)


def leads_out(name: str) -> bool:
    """Return whether a file of this name, with any suffix, is not directly in its folder."""
    for suffix in ("", ".mp4", ".npy"):
        if os.path.normpath(f"/folder/{name}{suffix}") != f"/folder/{name}{suffix}" or "/" in name:
            return True
    return False


@given(names)
def test_check_id_accepts_only_names_of_files_directly_in_a_folder(name: str) -> None:
    try:
        assert check_id(name, Path("table")) == name
    except PipelineError:
        return
    assert not leads_out(name)
    name.encode()


def of_captions(folder: Path, name: str) -> Any:
    path = folder / "captions.json"
    path.write_text(json.dumps({name: {"duration": 3.0, "timestamps": [[0, 1]], "sentences": ["a"]}}))
    return read_captions(path)


def of_activitynet(folder: Path, name: str) -> Any:
    path = folder / "activity_net.json"
    path.write_text(json.dumps({"database": {name: {"subset": "training", "duration": 3.0, "annotations": []}}}))
    return read_activitynet(path)


def of_corpus(folder: Path, name: str) -> Any:
    manifest = write_corpus(folder / "corpus", [(name, "train", True)])
    return {row.video for row in Corpus.open(manifest).videos}


def of_tsp(folder: Path, name: str) -> Any:
    path = folder / "tsp.csv"
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerow(dict.fromkeys(COLUMNS, "0") | {"video-name": name, "video-duration": "3"})
    return read_tsp(path)


def of_h5(folder: Path, name: str) -> Any:
    path = folder / "features.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=np.zeros((1, 2), np.float32))
    with open_source(path) as source:
        return set(source.videos)


READERS = [of_captions, of_activitynet, of_corpus, of_tsp, of_h5]
UNREPRESENTABLE = {
    of_corpus: {"\ud800"},
    of_tsp: {"\ud800", "a\0b"},
    of_h5: {"", ".", "\ud800", "a\0b", "..", "/etc/passwd", "a/b", "a/../../b"},
}
"""Names that the format of a file cannot represent."""


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_readers_of_annotations_refuse_ids_that_leave_the_folder(
    tmp_path: Path, read: Callable[[Path, str], Any], name: str
) -> None:
    if name in UNREPRESENTABLE.get(read, ()):
        return
    with pytest.raises(PipelineError, match=r"cannot be a video id|is not a dataset"):
        read(tmp_path, name)


@given(names)
@example("features.zarr/c/0/0")
def test_read_manifest_refuses_files_outside_its_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    path = tmp_path_factory.mktemp("manifest") / "manifest.json"
    path.write_text(json.dumps({"metadata": {}, "files": {name: {"sha256": "0" * 64, "bytes": 1}}}))
    try:
        manifest = read_manifest(path)
    except PipelineError as error:
        assert str(path) in str(error)
        return
    (listed,) = manifest.files
    inside = os.path.normpath(path.parent / listed)
    assert inside.startswith(f"{path.parent}{os.sep}")
    assert inside == f"{path.parent}{os.sep}{listed}"


@pytest.mark.parametrize("files", [[], {"a": 3}, {"a": {"sha256": "0"}}, {"../a": {"sha256": "0", "bytes": 1}}])
def test_read_manifest_refuses_other_structures(tmp_path: Path, files: Any) -> None:
    write_json(tmp_path / "manifest.json", {"metadata": {}, "files": files})
    with pytest.raises(PipelineError, match=r"manifest\.json: "):
        read_manifest(tmp_path / "manifest.json")


@given(names.filter(lambda name: name.isprintable()))
def test_proposals_of_videos_with_unsafe_names_are_rejects(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    path = tmp_path_factory.mktemp("proposals") / "proposals.json"
    path.write_text(json.dumps({"results": {name: [{"segment": [0.0, 1.0], "score": 1.0}]}}))
    proposals, rejects = restrict_to_videos(read_proposal_file(path, "score"), {"v_known": 3.0}, path.name)
    assert not proposals
    assert {row.reason for row in rejects} == {"unknown_video", "no_proposals"}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", ""])
def test_captions_of_videos_with_unsafe_names_are_not_submitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    corpus = write_corpus(tmp_path / "corpus", [("v_known", "submission", True)])
    write_shard(tmp_path / "video", 0)
    event = (0.0, 1.0, "A ball rolls.")
    captions = tmp_path / "captions.json"
    write_captions(captions, {"v_known": [event], name: [event]})
    output = tmp_path / "output" / "submission.json"
    words = ["--corpus", str(corpus), "--videos", str(tmp_path / "video"), "--captions", str(captions)]
    assert write_submission([*words, "--output", str(output)]) == 2
    assert f"video {name} is not in the split submission" in capsys.readouterr().err
    assert not output.exists()
