"""Text files as people and their programs write them: UTF-8, or UTF-16 with a byte order mark."""

import codecs
from pathlib import Path

from pipeline.errors import PipelineError

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_annotation_text(path: Path) -> str:
    r"""Read a text file; lines end in `\n`.

    The encoding is never guessed, because a wrong guess changes words silently.

    Raises:
        PipelineError: the file is absent, cannot be read, or has another encoding (names the line).
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file") from None
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read ({error.strerror})") from None
    encoding = "utf-16" if data.startswith(UTF_16_MARKS) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PipelineError(
            f"{path}: line {line} is not {encoding.removesuffix('-sig').upper()} text; convert the file, for example: "
            f"iconv -f WINDOWS-1252 -t UTF-8 {path} > utf8{path.suffix}"
        ) from None
    if "\0" in text:
        raise PipelineError(f"{path}: line {text.count(chr(10), 0, text.index(chr(0))) + 1} has a NUL: not a text file")
    return text.replace("\r\n", "\n").replace("\r", "\n")
