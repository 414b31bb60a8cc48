r"""Make the demo corpus: a miniature ActivityNet, of real encoded videos, in ActivityNet's own files.

In:   nothing but the section `make_demo` of the configuration; everything follows from its seed.
Out:  `manifest.json`, and beside it `videos/v_<id>.<suffix>`, `activity_net.v1-3.json` (action segments),
      `train.json`, `val_1.json` and `val_2.json` (captions; two annotators of the validation set).

Alone and small:

    python -m pipeline.make_demo --output /tmp/demo/manifest.json \
        --config '{"train_videos": 6, "val_videos": 3, "test_videos": 1, "broken_videos": 1}'
"""

import logging
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, command, heed_sigterm, parser, read_config
from pipeline.config.make_demo import MakeDemo
from pipeline.demo.annotations import (
    action_annotations,
    caption_annotations,
    of_subset,
    second_annotators_videos,
)
from pipeline.demo.film import film
from pipeline.demo.motions import MOTIONS
from pipeline.demo.scene import Video
from pipeline.demo.world import make_world
from pipeline.errors import PipelineError
from pipeline.io.atomic import write_json
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import record

log = logging.getLogger(__name__)


def make_demo(config: MakeDemo, output: Path) -> None:
    """Make the corpus.

    Args:
        config: size and seed.
        output: the manifest; everything else is written beside it.

    Raises:
        PipelineError: ffmpeg is missing, or cannot encode one of the formats.
    """
    videos = make_world(config)
    folder = output.parent
    files = film_all(videos, folder / "videos", config.workers)
    files += write_annotations(videos, folder, config.seed)
    write_manifest(output, files, facts(videos))


def film_all(videos: list[Video], folder: Path, workers: int) -> list[Path]:
    """Draw and encode all videos in `workers` processes; the first failure ends it all."""
    folder.mkdir(parents=True, exist_ok=True)
    # Fresh processes on every system: a fork would inherit the parent's threads and locks.
    context = multiprocessing.get_context("spawn")
    files = []
    with ProcessPoolExecutor(min(workers, len(videos)), context, initializer=heed_sigterm) as pool:
        pending = [pool.submit(film, video, folder) for video in videos]
        try:
            for done, future in enumerate(as_completed(pending), start=1):
                files.append(future.result())
                if done % 20 == 0 or done == len(videos):
                    log.info("%d of %d videos made", done, len(videos))
        except BrokenProcessPool:
            raise PipelineError(
                f"{folder}: a process that draws videos was killed, by the system if memory is short; free some and "
                "run again, or config: make_demo.workers: 1"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return files


def write_annotations(videos: list[Video], folder: Path, seed: int) -> list[Path]:
    """Write the four annotation files."""
    training, validation = of_subset(videos, "training"), of_subset(videos, "validation")
    contents = {
        "activity_net.v1-3.json": action_annotations(videos),
        "train.json": caption_annotations(training, 1, seed),
        "val_1.json": caption_annotations(validation, 1, seed),
        "val_2.json": caption_annotations(second_annotators_videos(validation), 2, seed),
    }
    for name, content in contents.items():
        write_json(folder / name, content)
    return [folder / name for name in contents]


def facts(videos: list[Video]) -> dict[str, Any]:
    """What the manifest says of the corpus."""
    return {
        "videos": dict(Counter(video.subset for video in videos)),
        "events": dict(Counter(video.subset for video in videos for _ in video.events)),
        "seconds": round(sum(video.duration for video in videos), 2),
        "classes": [motion.label for motion in MOTIONS.values()],
        "broken": {video.name: video.broken for video in videos if video.broken},
    }


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, MakeDemo, "make_demo")
    arguments.add_argument("--output", type=Path, required=True, help="the manifest; the corpus stands beside it")
    given = arguments.parse_args(argv)
    config = read_config(given.config, MakeDemo, "make_demo")
    make_demo(config, given.output)
    for output in (given.output, *given.output.parent.glob("*.json")):
        if not output.name.endswith(".provenance.json"):
            record(output, "make_demo", config, [])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
