"""A matrix of tiny films: containers, codecs, streams, orientations and times, in all combinations that exist."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.films import B_FRAMES, UPRIGHT, X264, remux, run_ffmpeg, write_film

FRAMES = 15
"""Number of frames of a film, at 25 frames/s."""
BEEPS = (0.25,)
"""Times of the beeps (seconds)."""

VIDEO: Mapping[str, tuple[str, ...]] = {
    "h264": X264,
    "h264 B": B_FRAMES,
    "h264 open": (*B_FRAMES, "-x264-params", "open-gop=1:keyint=6:min-keyint=3"),
    "h264 10 bits": ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le"),
    "h264 4:4:4": ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p"),
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=none"),
    "av1": ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-threads", "1"),
    "vp8": ("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "1M"),
    "vp9": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M", "-pix_fmt", "yuv420p"),
    "mpeg1": ("-c:v", "mpeg1video", "-q:v", "3"),
    "mpeg2 B": ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2"),
    "mpeg4": ("-c:v", "mpeg4", "-q:v", "3"),
    "mpeg4 B": ("-c:v", "mpeg4", "-q:v", "3", "-bf", "2"),
    "msmpeg4": ("-c:v", "msmpeg4", "-q:v", "3"),
    "h263": ("-c:v", "h263", "-q:v", "3", "-s", "128x96"),
    "flv1": ("-c:v", "flv", "-q:v", "3"),
    "wmv2": ("-c:v", "wmv2", "-q:v", "3"),
    "theora": ("-c:v", "libtheora", "-q:v", "8", "-pix_fmt", "yuv420p"),
    "mjpeg": ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"),
    "prores": ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"),
    "ffv1": ("-c:v", "ffv1", "-pix_fmt", "yuv420p"),
    "huffyuv": ("-c:v", "huffyuv", "-pix_fmt", "yuv422p"),
    "png": ("-c:v", "png"),
    "qtrle": ("-c:v", "qtrle"),
    "raw": ("-c:v", "rawvideo", "-pix_fmt", "yuv420p"),
}
AUDIO: Mapping[str, tuple[str, ...]] = {
    "aac": ("-c:a", "aac"),
    "mp3": ("-c:a", "libmp3lame"),
    "mp2": ("-c:a", "mp2"),
    "ac3": ("-c:a", "ac3"),
    "eac3": ("-c:a", "eac3"),
    "dts": ("-c:a", "dca", "-strict", "-2", "-ac", "2"),
    "truehd": ("-c:a", "truehd", "-strict", "-2"),
    "flac": ("-c:a", "flac"),
    "opus": ("-c:a", "libopus"),
    "vorbis": ("-c:a", "libvorbis"),
    "alac": ("-c:a", "alac"),
    "pcm": ("-c:a", "pcm_s16le"),
    "pcm24": ("-c:a", "pcm_s24le"),
    "ulaw": ("-c:a", "pcm_mulaw", "-ar", "8000"),
    "adpcm": ("-c:a", "adpcm_ms"),
    "wmav2": ("-c:a", "wmav2"),
    "g722": ("-c:a", "g722", "-ar", "16000"),
}
CONTAINERS: Mapping[str, tuple[str, str]] = {
    "mp4": ("h264, h264 B, h264 open, h264 10 bits, hevc, av1, vp9, mpeg4 B", "aac, mp3, ac3, opus, flac, alac"),
    "mov": ("h264 B, hevc, mjpeg, prores, png, qtrle", "aac, pcm, pcm24, ulaw, alac"),
    "mkv": (
        "h264 B, h264 4:4:4, hevc, av1, vp8, vp9, mpeg2 B, mpeg4 B, theora, ffv1, huffyuv, raw",
        "aac, mp3, ac3, eac3, dts, truehd, flac, opus, vorbis, pcm, pcm24",
    ),
    "webm": ("vp8, vp9, av1", "opus, vorbis"),
    "avi": ("h264, mpeg4, mpeg4 B, msmpeg4, mjpeg, huffyuv, ffv1, raw", "mp3, mp2, ac3, pcm, adpcm, ulaw"),
    "ts": ("h264 B, h264 open, hevc, mpeg2 B", "aac, mp2, mp3, ac3, eac3, opus"),
    "m2ts": ("h264 B, mpeg2 B", "ac3, aac"),
    "mpg": ("mpeg1, mpeg2 B", "mp2, ac3"),
    "flv": ("h264 B, flv1", "aac, mp3"),
    "ogv": ("theora", "vorbis, opus, flac"),
    "wmv": ("wmv2, msmpeg4", "wmav2"),
    "3gp": ("h263, mpeg4, h264", "aac"),
    "nut": ("h264 B, mpeg4 B, ffv1", "flac, g722, pcm"),
    "mxf": ("mpeg2 B", "pcm"),
}
"""Video and audio codecs that are common in each container."""


@dataclass(frozen=True)
class FilmCase:
    """A film of the matrix.

    Attributes:
        name: what is in it, and how; also its file's name without the container's suffix.
        suffix: of the file.
        write: writes the file to a path.
        numbers: what the frames show, if all of them are shown upright and in their order.
        corners: letters of the corners of a frame (see `helpers.films.read_corners`).
        beeps: number of beeps, if the film has sound.
        mapping: options with which ffmpeg reads the right streams.
        exact: whether all pixels are equal; scaling before or after the conversion to RGB makes a difference.
    """

    name: str
    suffix: str
    write: Callable[[Path], object]
    numbers: Sequence[int] | None = range(FRAMES)
    corners: str = UPRIGHT
    beeps: int = len(BEEPS)
    mapping: Sequence[str] = ()
    exact: bool = True


def list_formats(container: str) -> list[FilmCase]:
    """Return films of a container: each of its codecs, with sound first or last, in turns."""
    videos, audios = (names.split(", ") for names in CONTAINERS[container])
    indices = range(max(len(videos), len(audios)))
    pairs = [(videos[index % len(videos)], audios[index % len(audios)]) for index in indices]
    can_start_with_sound = container != "mxf"
    return [
        _format(container, *pair, sound_first=can_start_with_sound and index % 2 == 0)
        for index, pair in enumerate(pairs)
    ]


def list_all_formats(container: str) -> list[FilmCase]:
    """Return all films of a container: each pair of its codecs, with sound first and last."""
    videos, audios = (names.split(", ") for names in CONTAINERS[container])
    pairs = ((video, audio) for video in videos for audio in audios)
    return [
        _format(container, *pair, sound_first=first)
        for pair in pairs
        for first in (False, True)
        if not (first and container == "mxf")
    ]


def _format(container: str, video: str, audio: str, *, sound_first: bool) -> FilmCase:
    def write(path: Path) -> Path:
        rate = 44100 if audio in ("mp3", "adpcm") else 48000
        return write_film(
            path,
            frames=FRAMES,
            video=VIDEO[video],
            audio=AUDIO[audio],
            beeps=BEEPS,
            rate=rate,
            sound_first=sound_first,
        )

    return FilmCase(f"{video}, {audio}{', sound first' if sound_first else ''}", container, write)


TURNS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "upright": ((), "rgby"),
    "90": (("-display_rotation", "90"), "gyrb"),
    "180": (("-display_rotation", "180"), "ybgr"),
    "270": (("-display_rotation", "270"), "bryg"),
    "mirrored": (("-display_hflip",), "gryb"),
    "flipped": (("-display_vflip",), "byrg"),
    "90 mirrored": (("-display_rotation", "90", "-display_hflip"), "ygbr"),
    "270 mirrored": (("-display_rotation", "270", "-display_hflip"), "rbgy"),
}
"""Input options that turn a film, and its corners as players show them."""


def list_turns() -> list[FilmCase]:
    """Return films of all orientations, in the containers that state one."""
    cases = []
    for suffix in ("mp4", "mov", "mkv"):
        for name, (options, corners) in TURNS.items():
            numbers = range(FRAMES) if name == "upright" else None
            cases.append(FilmCase(name, suffix, _remuxed(before=options), numbers, corners))
    return cases


def _plain(path: Path, video: str = "h264 B", audio: str = "aac", suffix: str = "mkv") -> Path:
    """Write the film that others are made of, once per folder."""
    plain = path.with_name(f"plain {video}, {audio}.{suffix}")
    if not plain.exists():
        write_film(plain, frames=FRAMES, video=VIDEO[video], audio=AUDIO[audio], beeps=BEEPS)
    return plain


def _remuxed(
    *options: str, before: Sequence[str] = (), video: str = "h264 B", audio: str = "aac"
) -> Callable[[Path], Path]:
    """Return a function that copies the streams of a plain film into a file of any container."""
    return lambda path: remux(_plain(path, video, audio), path, "-map", "0", *options, before=before)


def _joined(path: Path) -> None:
    part = remux(_plain(path), path.with_name("part.ts"))
    path.write_bytes(part.read_bytes() * 2)


def _several(path: Path) -> None:
    """Write three videos of different sizes, and three sounds with different numbers of channels."""
    plain = _plain(path)
    larger, smaller = path.with_name("larger.mkv"), path.with_name("smaller.mkv")
    for file, size, channels in ((larger, "96:72", "2"), (smaller, "32:24", "1")):
        run_ffmpeg("-i", plain, "-vf", f"scale={size}:flags=neighbor", "-ac", channels, *X264, "-c:a", "aac", file)
    maps = [word for index in range(3) for medium in "va" for word in ("-map", f"{index}:{medium}")]
    run_ffmpeg("-i", plain, "-i", larger, "-i", smaller, *maps, "-c", "copy", path)


def _with_extras(path: Path) -> None:
    """Write a film with chapters, subtitles, an attachment or cover art, and a time code, as the container allows."""
    plain = _plain(path)
    subtitles, chapters, cover = (path.with_name(name) for name in ("s.srt", "c.txt", "c.png"))
    subtitles.write_text("1\n00:00:00,000 --> 00:00:00,300\nHello\n")
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle=one\n")
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=200x200", "-frames:v", "1", cover)
    inputs = ["-i", cover, "-i", subtitles, "-i", chapters, "-i", plain]
    if path.suffix == ".mkv":
        maps = ["-map", "1", "-map", "3", "-attach", cover, "-metadata:s:t", "mimetype=image/png"]
        run_ffmpeg(*inputs, *maps, "-map_chapters", "2", "-c", "copy", path)
        return
    options = [
        "-map",
        "0",
        "-map",
        "1",
        "-map",
        "3:a",
        "-map",
        "3:v",
        "-map_chapters",
        "2",
        "-c",
        "copy",
        "-c:s",
        "mov_text",
    ]
    run_ffmpeg(*inputs, *options, "-disposition:v:0", "attached_pic", "-timecode", "10:00:00:00", path)


def _programs(path: Path) -> None:
    programs = ["-program", "title=one:st=0:st=1", "-program", "title=two:st=2:st=3"]
    inputs = ["-i", _plain(path), "-i", _plain(path, "mpeg2 B", "mp2")]
    run_ffmpeg(*inputs, "-map", "0", "-map", "1", "-c", "copy", *programs, path)


def _growing(path: Path) -> None:
    """Write a film whose size changes: the second half is larger."""
    small, large = path.with_name("small.h264"), path.with_name("large.h264")
    write_film(small, frames=FRAMES)
    run_ffmpeg("-i", small, "-vf", "scale=128:96:flags=neighbor", *X264, large)
    both = path.with_name("both.h264")
    both.write_bytes(small.read_bytes() + large.read_bytes())
    run_ffmpeg("-r", "25", "-i", both, "-c", "copy", path)


def _late(medium: str, seconds: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        plain = _plain(path)
        other = "a" if medium == "v" else "v"
        late = ["-itsoffset", str(seconds), "-i", plain]
        run_ffmpeg("-i", plain, *late, "-map", f"0:{other}", "-map", f"1:{medium}", "-c", "copy", path)

    return write


def _sound_of(channels: int, suffix: str = "mkv", codec: str = "pcm") -> FilmCase:
    def write(path: Path) -> Path:
        return write_film(path, frames=FRAMES, audio=AUDIO[codec], beeps=BEEPS, channels=channels)

    return FilmCase(f"{channels} channels of {codec}", suffix, write)


def _animation(suffix: str, *options: str, mapping: Sequence[str] = ()) -> FilmCase:
    return FilmCase("animation", suffix, lambda path: write_film(path, frames=FRAMES, video=options), mapping=mapping)


def _drawn(*video: str) -> Callable[[Path], object]:
    return lambda path: write_film(path, frames=FRAMES, video=video)


def _with_sound_of(seconds: float) -> Callable[[Path], object]:
    def write(path: Path) -> Path:
        return write_film(path, frames=FRAMES, video=B_FRAMES, audio=AUDIO["aac"], beeps=(*BEEPS, 1.5), sound_s=seconds)

    return write


PICTURES: Mapping[str, tuple[str, ...]] = {
    "interlaced": ("-c:v", "mpeg2video", "-q:v", "3", "-flags", "+ildct+ilme", "-vf", "setfield=tff"),
    "odd size": ("-c:v", "ffv1", "-vf", "scale=65:49:flags=neighbor", "-pix_fmt", "yuv420p"),
    "full range": ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuvj420p"),
    "bt709": (*X264, "-colorspace", "bt709"),
    "bt2020": (*X264, "-colorspace", "bt2020nc"),
    "alpha": ("-c:v", "ffv1", "-pix_fmt", "yuva420p"),
    "twelve bits": ("-c:v", "ffv1", "-pix_fmt", "yuv422p12le"),
}
"""Options of the codec of films with other pixels."""


def _in_each(suffixes: str, name: str, write: Callable[[Path], object], **expected: Any) -> list[FilmCase]:
    return [FilmCase(name, suffix, write, **expected) for suffix in suffixes.split()]


DROPPED = "noise=drop='between(n\\,5\\,6)+eq(n\\,9)'"
"""Filter that drops some packets."""
LONG_LAST = f"setts=duration=if(eq(N\\,{FRAMES - 1})\\,30*DURATION\\,DURATION)"
"""Filter that shows the last frame for more than a second."""
STILL = "setts=ts=if(gt(N\\,9)\\,TS+700/TB\\,TS)"
"""Filter that shows a frame for minutes."""


def list_odd_streams() -> list[FilmCase]:
    """Return films with unusual streams, sizes and channels."""
    return [
        *_in_each("mkv mp4 mov", "with extras", _with_extras),
        *_in_each("mkv mp4 ts", "several streams", _several),
        *_in_each("ts", "two programs", _programs),
        *_in_each("mp4 mkv ts flv", "no sound", _remuxed("-an")),
        *_in_each("mkv", "growing", _growing, numbers=[*range(FRAMES), *range(FRAMES)], exact=False),
        *_in_each("mp4 mkv mov", "pixels not square", _remuxed("-aspect", "16:9")),
        *_in_each("mp4 mkv ts", "sound longer", _with_sound_of(1.8), beeps=2),
        *_in_each("mp4 mkv ts", "sound shorter", _with_sound_of(0.4)),
        *(FilmCase(name, "mkv", _drawn(*options)) for name, options in PICTURES.items()),
        *(_sound_of(channels) for channels in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24)),
        *(_sound_of(channels, "mp4", "aac") for channels in (2, 6, 8)),
        _animation("gif"),
        _animation("apng", "-f", "apng"),
        _animation("webp", "-c:v", "libwebp_anim", "-q:v", "90"),
        _animation("avif", *VIDEO["av1"], mapping=["-map", "0:v:1"]),
        _animation("y4m", "-pix_fmt", "yuv420p"),
        _animation("h264", *X264),
        _animation("mjpeg", *VIDEO["mjpeg"]),
    ]


def list_odd_times() -> list[FilmCase]:
    """Return films with unusual times."""
    negative = _remuxed("-avoid_negative_ts", "disabled", "-output_ts_offset", "-0.1")
    mjpeg_missing = _remuxed("-bsf:v", DROPPED, video="mjpeg")
    return [
        *_in_each("ts mts", "joined", _joined, numbers=None, beeps=2),
        *_in_each("mp4 mkv ts flv", "starts at 7 s", _remuxed("-output_ts_offset", "7")),
        *_in_each("mp4 mkv ts flv", "starts at 13 ms", _remuxed("-output_ts_offset", "0.013")),
        *_in_each("ts", "wraps", _remuxed("-output_ts_offset", "95443.4", "-muxdelay", "0")),
        *_in_each("mkv", "negative times", negative),
        *_in_each("mp4 mkv ts", "sound late by 70 ms", _late("a", 0.07)),
        *_in_each("mp4 mkv ts", "sound late by 1.5 s", _late("a", 1.5)),
        *_in_each("mp4 mkv ts", "picture late by 70 ms", _late("v", 0.07)),
        *_in_each("mp4 mkv ts", "picture late by 1.5 s", _late("v", 1.5)),
        *_in_each("mp4 mov", "edit list", _remuxed(before=("-ss", "0.2")), numbers=None),
        *_in_each("mp4 mov", "fragmented", _remuxed("-movflags", "+frag_every_frame+empty_moov")),
        *_in_each("mp4 mkv avi mov", "frames missing", mjpeg_missing, numbers=None),
        *_in_each("mkv mp4 mov", "sound missing", _remuxed("-bsf:a", DROPPED)),
        *_in_each("ts avi", "sound missing", _remuxed("-bsf:a", DROPPED, video="mpeg2 B", audio="mp2")),
        *_in_each("mp4 mkv mov", "last frame long", _remuxed("-an", "-bsf:v", LONG_LAST, video="h264")),
        *_in_each("mp4 mkv nut mov", "still for minutes", _remuxed("-an", "-bsf:v", STILL, video="mjpeg")),
        *_in_each("avi", "no display times", _remuxed("-an", "-bsf:v", "setts=pts=NOPTS", video="mpeg4 B")),
        *_in_each("mkv mp4", "times in decoding order", _remuxed("-an", "-bsf:v", "setts=pts=DTS"), numbers=None),
    ]
