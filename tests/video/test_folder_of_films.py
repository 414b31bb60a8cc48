"""A folder of forty odd films and ten broken files goes through the features of raw videos and through re-encoding."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.evaluation_files import write_corpus
from helpers.extraction import read_reject_reasons, record_decoded_files, run_command, write_encoder
from helpers.film_matrix import FilmCase, list_odd_streams, list_odd_times, list_turns
from helpers.measurements import Measurements
from helpers.video_files import damage_sound, flip_bytes, truncate, write_video

from pipeline.datasets.corpus import RejectedVideo
from pipeline.io.tables import read_rows
from pipeline.reencode import main as reencode
from pipeline.video.shard import ReencodedRow

ROOT = Path(__file__).resolve().parents[2]
NUM_ODD = 40
SIDE_FILES = ("._odd_00.mp4", "odd_00.jpg", "odd_01.info.json", "odd_02.webp", "odd_03.mp4.part", "odd_04.en.vtt")
INTERNAL = re.compile(r"0x[0-9a-f]|graph_|\[\w+ @|Traceback|Error submitting|\bNone\b")
"""What a user must not read: addresses, and words of ffmpeg's and of our own insides."""


def write_whole(path: Path, *options: str) -> Path:
    return write_video(path.with_name(f"whole{path.suffix}"), seconds=6, size="64x48", sound=True, options=options)


BROKEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "empty file": ("empty.mp4", lambda path: path.write_bytes(b"")),
    "web page": ("page.mp4", lambda path: path.write_text("<html><h1>404 Not Found</h1></html>")),
    "only zeros": ("zeros.mkv", lambda path: path.write_bytes(bytes(5000))),
    "MP4 without its index": ("torn.mp4", lambda path: truncate(write_whole(path), path)),
    "cut off after 80 %": ("cut.mkv", lambda path: truncate(write_whole(path), path, 0.8)),
    "cut off after 20 %": ("early.mkv", lambda path: truncate(write_whole(path), path, 0.2)),
    "picture damaged in its last third": ("flipped.mp4", lambda path: flip_bytes(write_whole(path), path)),
    "sound damaged": ("sound.mkv", lambda path: damage_sound(write_whole(path, "-c:a", "flac"), path)),
    "only sound": ("tone.m4a", lambda path: write_video(path, sound=True, options=("-map", "1:a"))),
    "picture that does not move": ("still.png", lambda path: write_video(path, seconds=0.04)),
}
"""Name of each broken file, and how it is written."""


def list_odd_films() -> list[FilmCase]:
    cases = [case for case in [*list_odd_streams(), *list_odd_times()] if case.name != "still for minutes"]
    return [*list_turns()[:8:2], *cases[::2]][:NUM_ODD]


def write_folder(folder: Path, workplace: Path) -> dict[str, str]:
    """Write all files; return what each is, by its id."""
    folder.mkdir()
    workplace.mkdir()
    kinds = {}
    for number, case in enumerate(list_odd_films()):
        path = workplace / f"odd_{number:02d}.{case.suffix}"
        case.write(path)
        path.rename(folder / path.name)
        kinds[path.stem] = f"{case.name}.{case.suffix}"
    for kind, (name, write) in BROKEN.items():
        path = workplace / name
        write(path)
        path.rename(folder / name)
        kinds[path.stem] = kind
    for name in SIDE_FILES:
        (folder / name).write_text("any content")
    return kinds


def read_documented_outcomes() -> dict[str, list[str]]:
    """Return the cells of each row of the table in docs/videos.md."""
    text = (ROOT / "docs" / "videos.md").read_text(encoding="utf-8").partition("## What becomes of broken files")[2]
    rows = [line.strip("| ").split(" | ") for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return {row[0]: [cell.strip("`") for cell in row[1:]] for row in rows[2:]}


@pytest.mark.campaign
def test_a_folder_of_odd_and_broken_films_is_read_as_documented(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    measurements: Measurements,
) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = write_folder(Path("films"), Path("workplace"))
    assert len(kinds) == NUM_ODD + len(BROKEN)

    command = ["--features", "tiny", "vggish", "--encoder", f"tiny={write_encoder(Path('encoder'))}"]
    command += ["--weights", "vggish=random", "--tail", "pad", "--videos", "films", "--output", "features"]
    assert run_command(*command) == 3
    output = capsys.readouterr()
    frames, sound = (
        read_reject_reasons(Path("features", name, "0000", "manifest.json")) for name in ("tiny", "vggish")
    )
    assert sum(int(count) for count in re.findall(r"passed over (\d+) ", output.err)) == len(SIDE_FILES)
    check_words(output.out + output.err)
    decoded = record_decoded_files(monkeypatch)
    assert run_command(*command) == 3
    assert decoded == []
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(output.out.splitlines())

    write_corpus(Path("corpus"), [(video, "train", True) for video in kinds])
    rename_to_mp4(Path("films"), Path())
    settings = json.dumps({"preset": "ultrafast", "max_rejected": 0.5})
    words = [
        "--config",
        settings,
        "--corpus",
        "corpus/manifest.json",
        "--shard",
        "0",
        "--output",
        "video/manifest.json",
    ]
    assert reencode(words) == 0
    check_words(capsys.readouterr().err)
    times = {path: path.stat().st_mtime_ns for path in Path("video").glob("*.mp4")}
    assert reencode(words) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("video").glob("*.mp4")} == times

    encoded = {row.video: row for row in read_rows(Path("video/videos.parquet"), ReencodedRow)}
    rejects = {row.video: row for row in read_rows(Path("video/rejects.parquet"), RejectedVideo)}
    check_words("\n".join(row.detail for row in rejects.values()))
    assert encoded.keys() | rejects.keys() == kinds.keys()
    outcomes = {}
    for video, kind in kinds.items():
        row = encoded.get(video)
        reencoded = rejects[video].reason if row is None else f"part: {row.reason}" if row.partial else "whole"
        outcomes[kind] = [frames.get(video, "whole"), sound.get(video, "whole"), reencoded]
        measurements.add_row(
            "films of a folder", file=kind, frames=outcomes[kind][0], sound=outcomes[kind][1], reencoded=reencoded
        )
    for kind, outcome in outcomes.items():
        if kind not in BROKEN:
            assert outcome in (["whole", "whole", "whole"], ["whole", "no_sound", "whole"]), kind
    assert {kind: outcomes[kind] for kind in BROKEN} == read_documented_outcomes()


def check_words(text: str) -> None:
    """Check that a text holds nothing that only programmers understand."""
    assert not INTERNAL.search(text), INTERNAL.search(text)


def rename_to_mp4(folder: Path, target: Path) -> None:
    """Link all files under the names that the corpus lists; the content decides what they are."""
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.name not in SIDE_FILES:
            (target / f"{path.stem}.mp4").symlink_to(path.absolute())
