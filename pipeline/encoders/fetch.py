"""Fetching a published file: only when asked, over https, whole and verified or not at all."""

import hashlib
import logging
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.encoders.registry import Published
from pipeline.errors import PipelineError
from pipeline.io.atomic import replacing, sha256

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PIECE = 1 << 20
_STALLED_S = 60.0


def fetch(published: Published, folder: Path) -> Path:
    """Fetch a file unless it is there.

    It gets its name when all of it has come and its sha256 begins as published; until then, and after any failure,
    no file has that name.

    Args:
        published: what.
        folder: where to; it is made.

    Returns:
        the file.

    Raises:
        PipelineError: cannot be fetched, came cut short, or is not what was published; or another file has its name.
    """
    path = folder / published.file
    if path.exists():
        if not sha256(path).startswith(published.digest):
            raise PipelineError(f"{path}: there, but its sha256 does not begin with {published.digest}; remove it")
        logging.info("%s: already there", path)
        return path
    _check_safe(published.url)
    try:
        with replacing(path) as temporary:
            _download(published, temporary)
    except (HTTPException, OSError) as error:
        raise PipelineError(f"{published.url}: cannot be fetched to {path} ({error})") from None
    return path


def _download(published: Published, path: Path) -> None:
    digest = hashlib.sha256()
    came = 0
    opener = urllib.request.build_opener(_SafeRedirects)
    with opener.open(published.url, timeout=_STALLED_S) as answer, path.open("wb") as file:
        length = int(answer.headers.get("Content-Length") or 0)
        logging.info("fetching %s (%.0f MB)", published.url, length / 1e6)
        while piece := answer.read(_PIECE):
            file.write(piece)
            digest.update(piece)
            if (came + len(piece)) * 10 // max(length, 1) > came * 10 // max(length, 1):
                logging.info("%.0f of %.0f MB", (came + len(piece)) / 1e6, length / 1e6)
            came += len(piece)
    if came < length:
        raise PipelineError(f"{published.url}: only {came} of {length} bytes came; fetch it again")
    if not digest.hexdigest().startswith(published.digest):
        raise PipelineError(
            f"{published.url}: what came has the sha256 {digest.hexdigest()}, which does not begin with "
            f"{published.digest} as published; nothing was kept"
        )


def _check_safe(url: str) -> None:
    """Refuse what could be changed on its way: all but https, and this machine itself."""
    parts = urlsplit(url)
    if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
        raise PipelineError(f"{url}: only https is fetched")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects (release files have one) as long as they are as safe as what was asked for."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        _check_safe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
