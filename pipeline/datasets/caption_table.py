"""Tables of captions, CSV or TSV, as spreadsheets write them: a row is an event.

Separators are commas, semicolons or tabs; the header tells. Decimal commas, a byte order mark and Excel's `sep=;` are
read. Times are seconds (`62.5`) or clock times (`1:02.5`, `00:01:02,5`).
"""

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.datasets.annotations import AnnotatedSegment, CaptionedVideo, check_duration, check_times
from pipeline.datasets.text_files import read_annotation_text
from pipeline.datasets.video_ids import check_id, strip_video_suffix
from pipeline.errors import PipelineError

COLUMNS = {
    "video": ("video", "video_id", "id", "file", "filename"),
    "start": ("start", "start_time", "begin", "from"),
    "end": ("end", "end_time", "stop", "to"),
    "caption": ("caption", "sentence", "text", "description"),
    "duration": ("duration", "video_duration"),
}
"""Names that a column may have in the header, the first one first; capitals, spaces and hyphens do not matter."""
OPTIONAL = {"duration"}
SEPARATORS = "\t;,"

SECONDS = re.compile(r"(-?)(?:(?:(\d+):)?(\d+):)?(\d+(?:[.,]\d+)?)")


def read_caption_table(path: Path) -> dict[str, CaptionedVideo]:
    """Read the videos of a table by id with their events, in the order of the rows.

    Raises:
        PipelineError: the file is absent, not UTF-8, lacks a column, or has a malformed row (names the line).
    """
    videos: dict[str, tuple[float | None, list[AnnotatedSegment]]] = {}
    for line, row in read_rows(path, COLUMNS, OPTIONAL):
        _add_row(path, line, row, videos)
    if not videos:
        raise PipelineError(f"{path}: has no row below its header")
    return {video: CaptionedVideo(duration, tuple(events)) for video, (duration, events) in videos.items()}


def read_rows(
    path: Path, columns: Mapping[str, Sequence[str]], optional: Collection[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table that have any cell: number of the line, and the cells by the meaning of their column.

    Args:
        path: the table.
        columns: meaning of each column -> names that it may have in the header, the first one first.
        optional: columns that the table may lack.

    Raises:
        PipelineError: the file is absent, not UTF-8, lacks a column, or has a malformed row (names the line).
    """
    lines = read_annotation_text(path).split("\n")
    first = 0
    separator = max(SEPARATORS, key=lines[0].count)
    if match := re.fullmatch(r"\"?sep=(.)\"?", lines[0].strip(), flags=re.IGNORECASE):
        separator, first = match[1], 1
    reader = csv.reader([f"{line}\n" for line in lines[first:]], delimiter=separator, strict=True)
    last = first
    try:
        header = next(reader, [])
        positions = _find_columns(path, header, columns, optional)
        for cells in reader:
            last = reader.line_num + first
            if any(cell.strip() for cell in cells):
                yield last, _select(path, last, cells, header, positions)
    except csv.Error as error:
        raise PipelineError(
            f"{path}: line {last + 1} is no row of cells ({error}); look for a quote too many"
        ) from None


def _find_columns(
    path: Path, header: Sequence[str], columns: Mapping[str, Sequence[str]], optional: Collection[str]
) -> dict[str, int]:
    """Return the positions of the columns by their meaning."""
    names = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in header]
    positions = {}
    for column, aliases in columns.items():
        alias = next((alias for alias in aliases if alias in names), None)
        if alias is not None:
            positions[column] = names.index(alias)
        elif column not in optional:
            raise PipelineError(f"{path}: has no column {column!r} (or {', '.join(aliases[1:])}) in {list(header)}")
    return positions


def _select(
    path: Path, number: int, cells: Sequence[str], header: Sequence[str], positions: dict[str, int]
) -> dict[str, str]:
    """Return the cells of a row by their meaning."""
    if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
        raise PipelineError(
            f"{path}: line {number}: has {len(cells)} cells, the header {len(header)}; put a text with the separator "
            "in double quotes"
        )
    return {column: cells[position] for column, position in positions.items()}


def _add_row(
    path: Path, number: int, row: dict[str, str], videos: dict[str, tuple[float | None, list[AnnotatedSegment]]]
) -> None:
    """Add the event of a row to its video."""
    where = f"line {number}"
    video = check_id(strip_video_suffix(row["video"].strip()), path)
    times = [parse_seconds(path, where, row[name]) for name in ("start", "end")]
    start, end = check_times(times, path, video, len(videos[video][1]) if video in videos else 0)
    text = row.get("duration", "").strip()
    duration = check_duration(parse_seconds(path, where, text), path, video) if text else None
    known_duration, events = videos.get(video, (duration, []))
    if duration is not None and known_duration not in (None, duration):
        raise PipelineError(f"{path}: {where}: video {video} has another duration in an earlier row")
    events.append(AnnotatedSegment(start, end, row["caption"]))
    videos[video] = (known_duration if duration is None else duration), events


def parse_seconds(path: Path, where: str, text: str) -> float:
    """Return a time in seconds.

    Raises:
        PipelineError: the text is no time; names the file and where the text is.
    """
    match = SECONDS.fullmatch(text.strip())
    if not match:
        raise PipelineError(f"{path}: {where}: {text!r} is not a time: write seconds (62.5) or 1:02.5")
    sign, hours, minutes, seconds = match.groups()
    time = 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds.replace(",", "."))
    return -time if sign else time
