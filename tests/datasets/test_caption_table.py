"""Tables of captions: separators, decimal commas, clock times, and errors that name the line."""

from pathlib import Path

import pytest

from pipeline.datasets.annotations import AnnotatedSegment, CaptionedVideo, read_captions
from pipeline.errors import PipelineError

EVENT = CaptionedVideo(None, (AnnotatedSegment(1.5, 62.25, "A man, running."),))


def read(tmp_path: Path, text: str, name: str = "captions.csv") -> dict[str, CaptionedVideo]:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return read_captions(path)


@pytest.mark.parametrize(
    "text",
    [
        'video,start,end,caption\nfilm,1.5,62.25,"A man, running."\n',
        "Video ID;Start-Time;END;Sentence\r\nfilm;1,5;62,25;A man, running.\r\n;;;\r\n",
        "sep=;\nvideo;start;end;caption\nfilm;1,5;1:02,25;A man, running.",
        "\ufefffile\tbegin\tstop\ttext\nC:\\films\\film.MP4\t00:00:01.5\t0:01:02.25\tA man, running.\n",
        'note,caption,end,start,video\nx,"A man, running.","62,25","1,5",films/film.mkv\n',
    ],
)
def test_tables_of_every_kind_are_read(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {"film": EVENT}


def test_rows_of_a_video_are_its_events_in_their_order(tmp_path: Path) -> None:
    text = "video,start,end,caption,duration\na,3,4,second,9.5\nb,0,1,other,\na,-1,2,first,\n"
    assert read(tmp_path, text) == {
        "a": CaptionedVideo(9.5, (AnnotatedSegment(3, 4, "second"), AnnotatedSegment(-1, 2, "first"))),
        "b": CaptionedVideo(None, (AnnotatedSegment(0, 1, "other"),)),
    }


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("video,start,caption\n", ["no column 'end'", "stop"]),
        ("video,start,end,caption\n", ["no row"]),
        ("", ["no column 'video'"]),
        ("video,start,end,caption\nfilm,1,x,a\n", ["line 2", "'x'"]),
        ("video,start,end,caption\nfilm,1,,a\n", ["line 2", "''"]),
        ("sep=,\nvideo,start,end,caption\n\nfilm,1,2,A man, running\n", ["line 4", "5 cells", "4"]),
        ("video,start,end,caption\nfilm,1\n", ["line 2", "2 cells"]),
        ('video,start,end,caption\nfilm,1,2,"a"\nfilm,1,2,"open\n', ["line 3", "quote"]),
        ("video,start,end,caption\n..,1,2,a\n", ["'..'", "video id"]),
        ("video,start,end,caption,duration\na,1,2,x,9\na,3,4,y,8\n", ["line 3", "video a", "duration"]),
        ("video,start,end,caption\nfilm,1,1e9999,a\n", ["line 2", "1e9999"]),
        ("video,start,end,caption\nfilm,1,99999999999,a\n", ["video film", "99999999999"]),
    ],
)
def test_an_error_names_the_file_and_the_line(tmp_path: Path, text: str, facts: list[str]) -> None:
    with pytest.raises(PipelineError) as error:
        read(tmp_path, text)
    for fact in [str(tmp_path / "captions.csv"), *facts]:
        assert fact in str(error.value)


def test_a_table_in_another_encoding_is_an_error_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_bytes("video,start,end,caption\nfilm,1,2,Mädchen\n".encode("cp1252"))
    with pytest.raises(PipelineError, match=r"captions\.csv: line 2 .*UTF-8"):
        read_captions(path)
