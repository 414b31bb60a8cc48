"""The page in a real browser: it plays, seeks, searches, and asks for nothing but its own files."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from helpers.browser import CHROMIUM, MISSING, Visit, open_browser, serve
from helpers.measurements import Measurements
from helpers.score_fixtures import example_scores
from helpers.video_files import write_video
from playwright.sync_api import Browser, expect

from pipeline.bundle.events import EventCaption
from pipeline.bundle.subtitles import format_vtt
from pipeline.report.page import CAPTIONS, CaptionSet, Page, PageEvent, PageReport, PageVideo, write_page
from pipeline.report.tables import score_rows

pytestmark = [pytest.mark.campaign, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]

SETS = (
    CaptionSet("annotator_1", "Annotator 1", "reference"),
    CaptionSet("gt", "Ground-truth events", "gt"),
    CaptionSet("learned", "Learned events", "learned"),
    CaptionSet("control", "Control", "control", visible=False),
)
SECONDS = 8.0
LATE_S = 1.267
"""Start of an event [s]. A player that is sent there stops a microsecond before it."""
MARKUP = "<script>alert(1)</script> & <img src=http://127.0.0.1:9/x.png onerror=alert(2)> <b>bold</b>"
SEEK_S = 0.2
"""Longest time between a click and the frame that it asked for, and largest distance of that frame [s]."""
READY_S = 2.0
"""Longest time until 1,000 videos can be used [s]."""
NUM_MANY = 1000
CONTRAST = 4.5
"""Smallest contrast of small text, by the Web Content Accessibility Guidelines (level AA)."""

READY = "document.getElementById('player').readyState >= 2"
CONTRASTS = """() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (name) => {
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const colours = ["--text", "--muted", "--accent", "--reference", "--gt", "--learned", "--control"];
  return Object.fromEntries(colours.flatMap((colour) => ["--surface", "--ground"].map((ground) =>
    [`${colour} on ${ground}`, contrast(luminance(colour), luminance(ground))])));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film as `reencode` writes it, with a key frame each second."""
    options = ("-c:v", "libx264", "-g", "30", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", seconds=SECONDS, fps="30", options=options)


def describe(video: str, file: Path, *, score: float | None = 20.0, note: str = "") -> PageVideo:
    """Describe a video with two events in each set of captions; of the learned ones, two overlap."""
    events = {
        "annotator_1": [PageEvent(1.0, 3.0, f"A man runs in {video}."), PageEvent(4.0, 6.0, "A dog jumps.")],
        "gt": [PageEvent(1.0, 3.0, "a man walks"), PageEvent(4.0, 6.0, "a dog sits")],
        "learned": [
            PageEvent(LATE_S, 3.1, "a man is running", 0.9),
            PageEvent(4.1, 6.2, "an animal leaps", 0.8),
            PageEvent(5.0, 7.5, "the dog barks", 0.7),
        ],
        "control": [PageEvent(1.0, 3.0, "somebody paints a wall")],
    }
    scores = {} if score is None else {"gt": score + 5, "learned": score, "control": score / 2}
    return PageVideo(video, file, events, SECONDS, scores, note)


@pytest.fixture
def visit(browser: Browser, film: Path, tmp_path: Path) -> Iterator["Opener"]:
    opener = Opener(browser, film, tmp_path / "page")
    yield opener
    opener.close()


class Opener:
    """Writes pages, opens them from the disk, and checks at the end that nothing went wrong."""

    def __init__(self, browser: Browser, film: Path, folder: Path) -> None:
        self._browser = browser
        self.film = film
        self.folder = folder
        self._visits: list[Visit] = []
        self._numbers = count()

    def three(self) -> list[PageVideo]:
        """Three videos of one film, of different scores."""
        scores = {"v_b": 30.0, "v_a": 10.0, "v_c": None}
        note = {"v_b": "partial: damaged, cut_short"}
        return [describe(video, self.film, score=score, note=note.get(video, "")) for video, score in scores.items()]

    def write(self, videos: Sequence[PageVideo], **other: Any) -> Path:
        """Write a page."""
        path = self.folder / f"{next(self._numbers)}.html"
        write_page(Page(**{"title": "Test", "caption_sets": SETS, "videos": videos} | other), path)
        return path

    def open(self, path: Path | str, *, wait: str = READY, **options: Any) -> Visit:
        """Open a page, and wait until a condition holds."""
        visit = Visit(self._browser, **options)
        self._visits.append(visit)
        visit.page.goto(path if isinstance(path, str) else path.as_uri())
        visit.wait_until(wait)
        return visit

    def close(self) -> None:
        """Close the pages."""
        errors = [error for visit in self._visits for error in (*visit.errors, *visit.dialogs)]
        for visit in self._visits:
            visit.context.close()
        assert errors == []


def names(page: Any) -> list[str]:
    """Return the ids in the list, in their order; the visible text would be empty until the browser draws the row."""
    names: list[str] = page.locator("#list .id").all_text_contents()
    return names


def lines_of_now(page: Any) -> list[str]:
    """Return the sentences that stand out."""
    return page.locator(".line.now .sentence").filter(visible=True).all_inner_texts()


def current_time(page: Any) -> float:
    """Return the time of the player [s]."""
    return float(page.evaluate("document.getElementById('player').currentTime"))


def count_colours(png: bytes) -> int:
    """Return the number of colours of a picture."""
    pixels = matplotlib.image.imread(BytesIO(png))
    return len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0))


def test_a_video_plays_and_the_captions_of_the_moment_stand_out_and_are_its_subtitles(visit: Opener) -> None:
    opened = visit.open(visit.write(visit.three()))
    page = opened.page
    assert lines_of_now(page) == []
    page.keyboard.press(" ")
    opened.wait_until("document.querySelector('.column.learned .line.now')")
    assert lines_of_now(page) == ["A man runs in v_a.", "a man walks", "a man is running"]
    assert page.locator(".bar.now").filter(visible=True).all_inner_texts() == lines_of_now(page)
    tracks = page.evaluate(
        "[...document.getElementById('player').textTracks].map((track) =>"
        " [track.label, track.mode, [...(track.activeCues || [])].map((cue) => cue.text)])"
    )
    assert tracks[2] == ["Learned events", "showing", ["a man is running"]]
    assert [mode for _, mode, _ in tracks] == ["hidden", "hidden", "showing", "hidden"]
    start = current_time(page)
    opened.wait_until(f"document.getElementById('player').currentTime > {start}")
    page.keyboard.press(" ")
    assert page.evaluate("document.getElementById('player').paused")


@pytest.mark.parametrize("place", ["bar", "line"])
def test_a_click_seeks_to_the_event(visit: Opener, place: str, measurements: Measurements) -> None:
    opened = visit.open(visit.write(visit.three()))
    page = opened.page
    page.evaluate("""() => {
      window.delays = [];
      let clicked = 0;
      document.addEventListener("click", () => (clicked = performance.now()), true);
      const player = document.getElementById("player");
      player.addEventListener("seeked", () => window.delays.push(performance.now() - clicked));
    }""")
    subtitles = ["a man is running", "the dog barks"]
    learned = "document.getElementById('player').textTracks[2]"
    clicks = [("a dog sits", 4.0), ("a man is running", LATE_S), ("the dog barks", 5.0)]
    for number, (sentence, start) in enumerate(clicks, start=1):
        page.locator(f".{place}", has_text=sentence).click()
        opened.wait_until(f"window.delays.length === {number}")
        assert abs(current_time(page) - start) < SEEK_S
        assert sentence in lines_of_now(page)
        if sentence in subtitles:
            opened.wait_until(f"[...{learned}.activeCues].some((cue) => cue.text === '{sentence}')")
    delays = [delay / 1000 for delay in page.evaluate("window.delays")]
    measurements.append(f"page: a click on a {place} shows its frame after {min(delays):.3f} to {max(delays):.3f} s")
    assert min(delays) < SEEK_S


def test_the_timeline_is_dragged_and_has_frames_and_rows_for_events_that_overlap(visit: Opener) -> None:
    page = visit.open(visit.write(visit.three())).page
    lane = page.locator(".lane.gt").bounding_box()
    assert lane
    page.mouse.move(lane["x"] + lane["width"] * 0.9, lane["y"] + 5)
    page.mouse.down()
    assert current_time(page) == pytest.approx(0.9 * SECONDS, abs=0.1)
    page.mouse.move(lane["x"] + lane["width"] * 0.45, lane["y"] + 5)
    page.mouse.up()
    assert current_time(page) == pytest.approx(0.45 * SECONDS, abs=0.1)
    page.mouse.move(lane["x"] + lane["width"] * 0.1, lane["y"] + 5)
    assert current_time(page) == pytest.approx(0.45 * SECONDS, abs=0.1)
    boxes = [page.locator(".lane.learned .bar").nth(index).bounding_box() for index in range(3)]
    tops = [box["y"] for box in boxes if box]
    assert tops[0] == tops[1] < tops[2]
    first = boxes[0]
    assert first
    assert (first["x"] - lane["x"]) / lane["width"] == pytest.approx(LATE_S / SECONDS, abs=0.01)
    assert any(count_colours(page.locator("#strip").screenshot()) > 100 for _ in range(50))  # frames are drawn in turn


def test_sets_of_captions_are_switched_on_and_off(visit: Opener) -> None:
    page = visit.open(visit.write(visit.three())).page
    assert page.locator(".column:visible h3").count() == 3
    page.get_by_label("Control").check()
    expect(page.locator(".line", has_text="somebody paints a wall")).to_be_visible()
    page.get_by_label("Learned events").uncheck()
    expect(page.locator(".lane.learned .bar").first).to_be_hidden()
    expect(page.locator(".column.learned")).to_be_hidden()
    page.keyboard.press("3")
    expect(page.locator(".column.learned")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator(".column.control")).to_be_visible()  # as it was


def test_the_search_leaves_videos_with_all_words_at_starts_of_words_and_marks_them(visit: Opener) -> None:
    page = visit.open(visit.write(visit.three())).page
    search = page.get_by_role("searchbox")
    search.fill("runs V_C")
    assert names(page) == ["v_c"]
    assert page.locator("#count").inner_text() == "1 of 3 videos, 1 caption"
    search.press("Enter")
    expect(page.locator("#name")).to_have_text("v_c")
    assert [text.lower() for text in page.locator(".line mark").all_inner_texts()] == ["runs", "v_c"]
    search.fill("unning")
    assert names(page) == []
    search.fill("paints")
    assert names(page) == []  # the control is switched off
    page.get_by_label("Control").check()
    assert len(names(page)) == 3
    search.fill("[(*")
    assert names(page) == []
    search.fill("")
    assert len(names(page)) == 3
    page.get_by_label("with a note only").check()
    assert names(page) == ["v_b"]


def test_videos_are_sorted_by_score_the_worst_first_and_those_without_last(visit: Opener) -> None:
    page = visit.open(visit.write(visit.three())).page
    assert names(page) == ["v_a", "v_b", "v_c"]
    assert page.locator(".row .score").all_text_contents() == ["10.0", "30.0", ""]
    assert page.locator("#name").inner_text() == "v_a"
    assert page.locator(".toggle .value").all_inner_texts() == ["", "15.0", "10.0", "5.0"]
    page.select_option("#order", "best gt")
    assert names(page) == ["v_b", "v_a", "v_c"]
    assert page.locator(".row .score").all_text_contents() == ["35.0", "15.0", ""]
    page.select_option("#order", "name")
    assert names(page) == ["v_a", "v_b", "v_c"]


def test_everything_can_be_done_by_keyboard(visit: Opener) -> None:
    opened = visit.open(visit.write(visit.three()))
    page = opened.page
    press = page.keyboard.press
    for key, video in [("j", "v_b"), ("j", "v_c"), ("j", "v_c"), ("k", "v_b"), ("k", "v_a")]:
        press(key)
        expect(page.locator("#name")).to_have_text(video)
    opened.wait_until(READY)
    for key, seconds in [(".", 1.0), (".", LATE_S), (",", 1.0), ("ArrowRight", 3.0), ("ArrowLeft", 1.0)]:
        press(key)
        assert current_time(page) == pytest.approx(seconds, abs=0.01)
    press("/")
    page.keyboard.type("dog .1")  # keys of the page are letters in the search
    expect(page.get_by_role("searchbox")).to_have_value("dog .1")
    expect(page.get_by_label("Annotator 1")).to_be_checked()
    page.get_by_role("searchbox").fill("dog")
    press("Enter")
    press("ArrowDown")
    expect(page.locator("#name")).to_have_text("v_b")
    press("ArrowUp")
    expect(page.locator("#name")).to_have_text("v_a")
    reached = set()
    for _ in range(40):
        press("Tab")
        reached.add(page.evaluate("document.activeElement.className || document.activeElement.id"))
    assert {"line", "player", "previous", "next"} <= reached
    page.locator(".line").first.focus()
    press("Enter")
    assert current_time(page) == pytest.approx(1.0, abs=0.01)
    press("?")
    expect(page.locator("#keys kbd").first).to_be_visible()


def test_a_step_scrolls_the_list_and_not_the_page(visit: Opener) -> None:
    videos = [describe(f"v_{number:02d}", visit.film, score=float(number)) for number in range(30)]
    page = visit.open(visit.write(videos), viewport={"width": 390, "height": 700}).page
    page.locator("#captions").scroll_into_view_if_needed()
    place = page.evaluate("scrollY")
    assert place > 0
    for _ in range(20):
        page.keyboard.press("j")
    expect(page.locator("#name")).to_have_text("v_20")
    assert page.evaluate("scrollY") == place
    boxes = [page.locator(selector).bounding_box() for selector in ("#list", "[aria-current]")]
    box, row = [box for box in boxes if box]
    assert box["y"] <= row["y"] < box["y"] + box["height"]


def test_a_place_in_a_video_has_an_address(visit: Opener) -> None:
    path = visit.write(visit.three())
    page = visit.open(f"{path.as_uri()}#v_c@4.5").page
    expect(page.locator("#name")).to_have_text("v_c")
    assert current_time(page) == pytest.approx(4.5, abs=0.05)
    page.locator(".line", has_text="a dog sits").click()
    assert page.url.endswith("#v_c@4.0")
    page.evaluate("location.hash = '#v_b'")
    expect(page.locator("#name")).to_have_text("v_b")


def test_a_thousand_videos_are_usable_at_once_and_only_one_is_loaded(visit: Opener, measurements: Measurements) -> None:
    videos = [describe(f"v_{number:04d}", visit.film, score=number / 20) for number in range(NUM_MANY)]
    path = visit.write(videos)
    seconds = []
    for _ in range(3):  # the machine may be busy for a moment
        start = time.monotonic()
        opened = visit.open(path)
        seconds.append(time.monotonic() - start)
    assert len(names(opened.page)) == NUM_MANY
    searched = opened.page.evaluate("""() => {
      const start = performance.now();
      const search = document.getElementById("search");
      search.value = "0123 man";
      search.dispatchEvent(new Event("input"));
      document.getElementById("list").getBoundingClientRect();
      return (performance.now() - start) / 1000;
    }""")
    assert names(opened.page) == ["v_0123"]
    size = path.stat().st_size / 1e6
    measurements.append(
        f"page: {NUM_MANY} videos, {size:.1f} MB: usable after {min(seconds):.2f} s, a search takes {searched:.3f} s"
    )
    assert min(seconds) < READY_S
    assert searched < READY_S / 4
    assert {Path(url).name for url in opened.requests} == {path.name, visit.film.name}


def test_markup_stays_text_and_nothing_is_asked_from_elsewhere(visit: Opener) -> None:
    events = {"learned": [PageEvent(0.0, 5.0, MARKUP)], "annotator_1": [PageEvent(0.0, 5.0, "</script>" + MARKUP)]}
    scores = example_scores() | {
        "evaluator": {"variant": "2021", "tious": [0.3]},
        "counts": {"videos": {"scored": 1}, "events": 1},
        "provenance": {"code": {MARKUP: "abc"}},
    }
    report = PageReport(scores, score_rows(example_scores()), 0, [])
    video = PageVideo("v_<b>", visit.film, events, SECONDS, note=MARKUP)
    opened = visit.open(visit.write([video], title=MARKUP, report=report))
    page = opened.page
    opened.wait_until("document.querySelectorAll('.line.now').length === 2")
    assert page.title() == MARKUP
    assert page.locator("h1").inner_text() == MARKUP
    assert page.locator(".column.learned .sentence").inner_text() == MARKUP
    assert page.locator("#name").inner_text() == "v_<b>"
    page.get_by_role("searchbox").fill("<script> <b>")
    assert names(page) == ["v_<b>"]
    page.locator(".bar").first.click()
    subtitles = "[...document.getElementById('player').textTracks[2].activeCues]"
    opened.wait_until(f"{subtitles}.length === 1")
    assert page.evaluate(f"{subtitles}.map((cue) => cue.getCueAsHTML().textContent)") == [MARKUP]
    assert [page.locator(tag).count() for tag in ("img", "b", "script")] == [0, 0, 2]  # the data, and the page's own
    assert all(url.startswith("file:///") for url in opened.requests)


def test_the_policy_of_the_page_forbids_requests_to_elsewhere(visit: Opener) -> None:
    opened = visit.open(visit.write(visit.three()))
    blocked = opened.page.evaluate("""async () => {
      const blocked = [];
      document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
      await fetch("http://127.0.0.1:9/").catch(() => {});
      const load = (element, address) => new Promise((resolve) => {
        element.onerror = resolve;
        element.src = address;
        document.body.append(element);
      });
      await load(new Image(), "http://127.0.0.1:9/x.png");
      await load(document.createElement("script"), "http://127.0.0.1:9/x.js");
      await load(document.createElement("video"), "http://127.0.0.1:9/x.mp4");
      return blocked.map((name) => name.split("-elem")[0]).sort();
    }""")
    assert blocked == ["connect-src", "img-src", "media-src", "script-src"]
    opened.errors.clear()  # the browser writes down each of them


@pytest.mark.parametrize("width", [320, 390, 768, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_can_be_read_in_both_schemes(visit: Opener, width: int, scheme: str) -> None:
    path = visit.write(visit.three())
    options = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme, "has_touch": width < 768}
    page = visit.open(path, **options).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for place in ("#player", ".lane.gt", ".column.gt"):
        box = page.locator(place).bounding_box()
        assert box
        assert box["width"] > 0.2 * width
        assert box["x"] + box["width"] <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = [int(value) for value in re.findall(r"\d+", ground)]
    assert (max(brightness) < 60) == (scheme == "dark")
    contrasts: Mapping[str, float] = page.evaluate(CONTRASTS)
    assert {pair: value for pair, value in contrasts.items() if value < CONTRAST} == {}


@pytest.mark.parametrize("name", ["a #1 %41 ?.mp4", "ü 日本.mp4", "a;b&c'd\"e.mp4"])
def test_a_file_of_any_name_plays_and_its_length_need_not_be_known(visit: Opener, name: str) -> None:
    file = visit.folder.parent / name
    file.write_bytes(visit.film.read_bytes())
    event = PageEvent(0.0, 4.0, "a man runs", 0.5)
    video = PageVideo(file.stem, file, {CAPTIONS.key: [event]})
    opened = visit.open(visit.write([video], caption_sets=[CAPTIONS]))
    page = opened.page
    opened.wait_until("document.querySelectorAll('.line.now').length === 1")
    width = page.evaluate("document.querySelector('.bar').offsetWidth / document.querySelector('.lane').offsetWidth")
    assert width == pytest.approx(0.5, abs=0.02)


def test_a_file_that_the_browser_cannot_play_is_named(visit: Opener) -> None:
    file = visit.folder.parent / "odd name.avi"
    write_video(file, options=("-c:v", "mpeg4"))
    video = PageVideo("odd name", file, {CAPTIONS.key: [PageEvent(0.0, 1.0, "a man runs")]})
    opened = visit.open(
        visit.write([video], caption_sets=[CAPTIONS]), wait="!document.getElementById('problem').hidden"
    )
    assert "odd name.avi" in opened.page.locator("#problem").inner_text()
    assert opened.page.locator(".line .sentence").inner_text() == "a man runs"
    opened.errors.clear()


def test_a_page_without_videos_opens(visit: Opener) -> None:
    page = visit.open(visit.write([]), wait="document.readyState === 'complete'").page
    assert page.locator("#player").count() == 0


def test_webvtt_written_for_players_plays_in_a_browser(visit: Opener) -> None:
    sentences = ["a man runs", MARKUP, "two --> three"]
    times = [(0.0, 3.0), (1.25, 6.5), (6.5, 7.123)]
    events = [EventCaption(*time, text, 1.0, 0.0, "own") for time, text in zip(times, sentences, strict=True)]
    folder = visit.folder
    folder.mkdir()
    (folder / "film.mp4").write_bytes(visit.film.read_bytes())
    (folder / "film.vtt").write_text(format_vtt("film", events), encoding="utf-8")
    (folder / "film.html").write_text(
        "<!doctype html><link rel=icon href=data:,><video id=player src=film.mp4 controls muted>"
        "<track default kind=captions src=film.vtt></video>"
    )
    with serve(folder) as address:
        opened = visit.open(f"{address}/film.html", wait="document.querySelector('track').readyState === 2")
        page = opened.page
        page.evaluate("document.getElementById('player').play()")
        opened.wait_until("document.getElementById('player').textTracks[0].activeCues.length === 2")
        cues = page.evaluate(
            "[...document.getElementById('player').textTracks[0].cues]"
            ".map((cue) => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent])"
        )
    assert cues == [[*time, text] for time, text in zip(times, sentences, strict=True)]


def test_the_page_works_from_a_server_too(visit: Opener) -> None:
    folder = visit.folder
    folder.mkdir()
    film = folder / "film.mp4"
    film.write_bytes(visit.film.read_bytes())
    path = visit.write([describe("v_a", film)])
    with serve(folder) as address:
        opened = visit.open(f"{address}/{path.name}")
        opened.page.keyboard.press(" ")
        opened.wait_until("document.querySelectorAll('.line.now').length > 0")
        assert all(url.startswith(address) for url in opened.requests if not url.endswith("favicon.ico"))
        opened.errors.clear()  # a favicon that is not there
