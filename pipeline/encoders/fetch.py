"""Fetch a published weight file: only on request, only over https, and only complete and verified."""

import hashlib
import logging
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.config.encoders import PublishedWeights
from pipeline.errors import PipelineError
from pipeline.io.atomic import replace_atomically, sha256

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60.0


def fetch_weights(weights: PublishedWeights, folder: Path) -> Path:
    """Fetch a file unless it exists.

    The file gets its name once it is complete and its sha256 begins as published. Before that, and after any failure,
    no file has that name.

    Args:
        weights: the published weights.
        folder: folder of the file; created if necessary.

    Returns:
        the file.

    Raises:
        PipelineError: the file cannot be fetched, is incomplete, or has another sha256; or another file has its name.
    """
    path = folder / weights.file_name
    if path.exists():
        if not sha256(path).startswith(weights.sha256_prefix):
            raise PipelineError(
                f"{path}: exists, but its sha256 does not begin with {weights.sha256_prefix}; remove it"
            )
        logging.info("%s: already there", path)
        return path
    _check_url(weights.url)
    try:
        with replace_atomically(path) as temporary:
            _download(weights, temporary)
    except (HTTPException, OSError) as error:
        raise PipelineError(f"{weights.url}: cannot be fetched to {path} ({error})") from None
    return path


def _download(weights: PublishedWeights, path: Path) -> None:
    digest = hashlib.sha256()
    received = 0
    opener = urllib.request.build_opener(_SafeRedirects)
    with opener.open(weights.url, timeout=_TIMEOUT_S) as response, path.open("wb") as file:
        length = int(response.headers.get("Content-Length") or 0)
        logging.info("fetching %s (%.0f MB)", weights.url, length / 1e6)
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            if (received + len(chunk)) * 10 // max(length, 1) > received * 10 // max(length, 1):
                logging.info("%.0f of %.0f MB", (received + len(chunk)) / 1e6, length / 1e6)
            received += len(chunk)
    if received < length:
        raise PipelineError(f"{weights.url}: received only {received} of {length} bytes; fetch it again")
    if not digest.hexdigest().startswith(weights.sha256_prefix):
        raise PipelineError(
            f"{weights.url}: the received file has the sha256 {digest.hexdigest()}, which does not begin with "
            f"{weights.sha256_prefix} as published; the file was deleted"
        )


def _check_url(url: str) -> None:
    """Refuse addresses whose data could be changed on the way: all but https and this machine itself."""
    parts = urlsplit(url)
    if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
        raise PipelineError(f"{url}: only https is fetched")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects (release files have one) only to addresses as safe as the first."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
