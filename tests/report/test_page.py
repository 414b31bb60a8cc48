"""The page as a file: what it holds, and that data cannot leave its place. Its behaviour: test_page_in_browser.py."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.page import CAPTIONS, Page, PageEvent, PageVideo, evenly_spaced, write_page


def write(folder: Path, *videos: PageVideo, title: str = "My videos") -> str:
    """Write a page into a folder; return its text."""
    write_page(Page(title, [CAPTIONS], videos), folder / "index.html")
    return (folder / "index.html").read_text(encoding="utf-8")


def read_data(html: str) -> dict[str, Any]:
    """Return the data of a page, as a browser finds it."""
    [text] = re.findall(r'<script type="application/json" id="page-data">(.*?)</script', html, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    return data


def test_the_page_holds_all_events_in_time_order_with_short_times(tmp_path: Path) -> None:
    events = {CAPTIONS.key: [PageEvent(2.0, 3.0, "Ein Hund bellt."), PageEvent(1.23456, 2.0, "A man runs.", 0.98764)]}
    data = read_data(write(tmp_path, PageVideo("v", tmp_path / "v.mp4", events, 4.0, {"captions": 12.345}, "short")))
    assert data["captionSets"] == [{"key": "captions", "title": "Captions", "kind": "learned", "visible": True}]
    [video] = data["videos"]
    assert video["events"] == {"captions": [[1.235, 2.0, "A man runs.", 0.9876], [2.0, 3.0, "Ein Hund bellt."]]}
    assert {key: video[key] for key in ("id", "file", "duration", "note", "scores")} == {
        "id": "v",
        "file": "v.mp4",
        "duration": 4.0,
        "note": "short",
        "scores": {"captions": 12.35},
    }


@pytest.mark.parametrize(
    ("name", "address"),
    [("../video/a.mp4", "../video/a.mp4"), ("a b#1?.mp4", "a%20b%231%3F.mp4"), ("x:y.mp4", "x%3Ay.mp4")],
)
def test_the_address_of_a_video_is_relative_to_the_page_and_quoted(tmp_path: Path, name: str, address: str) -> None:
    [video] = read_data(write(tmp_path / "page", PageVideo("v", tmp_path / "page" / name, {})))["videos"]
    assert video["file"] == address


@given(st.text(max_size=40))
def test_any_text_comes_back_and_closes_no_element(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    sentence = f"{text}</script><!--<script>{text}"
    folder = tmp_path_factory.getbasetemp() / "any"
    html = write(folder, PageVideo("v", folder / "v.mp4", {CAPTIONS.key: [PageEvent(0.0, 1.0, sentence)]}))
    assert read_data(html)["videos"][0]["events"]["captions"] == [[0.0, 1.0, sentence]]
    assert html.count("</script>") == 2
    assert "<!--" not in html


def test_the_policy_allows_the_pages_own_script_and_style_and_no_network(tmp_path: Path) -> None:
    html = write(tmp_path, PageVideo("v", tmp_path / "v.mp4", {}), title="<b>")
    assert "<title>&lt;b&gt;</title>" in html
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    rules = dict(rule.split(maxsplit=1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["media-src"] == rules["img-src"] == "'self' file:"
    for rule, pattern in [("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")]:
        [text] = re.findall(pattern, html, re.DOTALL)
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@given(st.integers(0, 40), st.none() | st.integers(0, 50))
def test_evenly_spaced_returns_as_many_names_as_there_are_in_order(total: int, number: int | None) -> None:
    names = [f"{index:03d}" for index in range(total)]
    spaced = evenly_spaced(names, number)
    assert len(spaced) == (total if number is None else min(total, number))
    assert sorted(set(spaced)) == spaced
