"""What the demo's files are: containers, codecs, frame rates and picture sizes, as mixed as downloads are."""

from dataclasses import dataclass

_H264 = ("libx264", "-preset", "veryfast", "-crf", "12")


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        video: ffmpeg's encoder and its options. Quality is high, since the pictures are small.
        audio: ffmpeg's encoder for the sound.
        options: of the container.
        pixels: ffmpeg's pixel format.
        variable: whether the container can hold a variable frame rate.
    """

    video: tuple[str, ...]
    audio: str
    options: tuple[str, ...] = ()
    pixels: str = "yuv420p"
    variable: bool = True


FORMATS: dict[str, Format] = {
    ".mp4": Format(_H264, "aac", ("-movflags", "+faststart")),
    ".mkv": Format(_H264, "flac"),
    ".webm": Format(("libvpx", "-deadline", "realtime", "-cpu-used", "4", "-crf", "6", "-b:v", "2M"), "libvorbis"),
    ".avi": Format(("mpeg4", "-q:v", "2"), "mp2", variable=False),
    ".mov": Format(("mjpeg", "-q:v", "2"), "pcm_s16le", pixels="yuvj420p"),
}

# Each list is a deck: what stands in it more often is dealt more often.
SUFFIXES = (".mp4", ".mp4", ".mp4", ".mkv", ".mkv", ".webm", ".webm", ".avi", ".avi", ".mov")
VARIABLE = "variable"
RATES = ("12", "15", "20", "24000/1001", "25", "25", "30000/1001", "30", "30", VARIABLE)
SIZES = (
    *[(128, 96)] * 7,
    *[(170, 96)] * 2,
    (160, 90),
    (160, 120),
    (228, 128),
    (86, 64),
    (114, 64),
    (96, 128),
    (72, 128),
)
