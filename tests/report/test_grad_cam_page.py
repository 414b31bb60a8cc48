"""The page of Grad-CAM maps: its films do not depend on what the process did before."""

from pathlib import Path

import numpy as np

from pipeline.report.grad_cam_page import write_film

FRAMES, SIZE, FILMS = 48, 48, 30


def test_equal_frames_make_equal_films(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 255, (FRAMES, SIZE // 4, SIZE // 4, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    films, used_memory = set(), []
    for number in range(FILMS):
        used_memory.append(draw.bytes(int(draw.integers(100, 500_000))))
        if number % 3 == 2:
            used_memory.pop(0)
        film = tmp_path / f"{number}.mp4"
        write_film(film, frames.copy(), 12.0)
        films.add(film.read_bytes())
    assert len(films) == 1
