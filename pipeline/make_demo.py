r"""Make the synthetic demo dataset: a small ActivityNet of encoded videos, with annotations in ActivityNet's formats.

In:  nothing but the section `make_demo` of the configuration; everything follows from its seed.
Out: `manifest.json`; beside it `videos/v_<id>.<suffix>`, `activity_net.v1-3.json` (action segments), `train.json`,
     `val_1.json` and `val_2.json` (captions; two annotators of the validation set).

Alone and small:

    python -m pipeline.make_demo --output /tmp/demo/manifest.json \
        --config '{"train_videos": 6, "val_videos": 3, "test_videos": 1, "broken_videos": 1}'
"""

from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.make_demo import MakeDemo
from pipeline.demo.annotations import (
    action_annotations,
    caption_annotations,
    second_annotator_videos,
    select_subset,
)
from pipeline.demo.motions import MOTIONS
from pipeline.demo.plan import plan_videos
from pipeline.demo.render import render_videos
from pipeline.demo.scene import VideoPlan
from pipeline.io.atomic import write_json
from pipeline.provenance.computation import Computation
from pipeline.provenance.manifest import write_manifest

STAGE = "make_demo"
ANNOTATIONS = ("activity_net.v1-3.json", "train.json", "val_1.json", "val_2.json")
"""Names of the annotation files: actions, captions for training, captions of two annotators for validation."""


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, MakeDemo, STAGE)
    arguments.add_argument(
        "--output", type=Path, required=True, help="manifest to write; the dataset is written to its folder"
    )
    args = arguments.parse_args(argv)
    config = read_config(args.config, MakeDemo, STAGE)
    outputs = [args.output, *(args.output.with_name(name) for name in ANNOTATIONS)]
    computation = Computation(STAGE, config, [], outputs)
    if computation.restore():
        return 0
    make_demo(config, args.output)
    computation.keep_outputs()
    return 0


def make_demo(config: MakeDemo, output: Path) -> None:
    """Make the dataset.

    Args:
        config: size and seed.
        output: the manifest to write; all other files are written to its folder.

    Raises:
        PipelineError: ffmpeg is missing or cannot encode one of the formats.
    """
    videos = plan_videos(config)
    folder = output.parent
    files = render_videos(videos, folder / "videos", config.workers)
    files += write_annotations(videos, folder, config.seed)
    write_manifest(output, files, summarize(videos))


def write_annotations(videos: list[VideoPlan], folder: Path, seed: int) -> list[Path]:
    """Write the four annotation files and return their paths."""
    training, validation = select_subset(videos, "training"), select_subset(videos, "validation")
    contents = (
        action_annotations(videos),
        caption_annotations(training, 1, seed),
        caption_annotations(validation, 1, seed),
        caption_annotations(second_annotator_videos(validation), 2, seed),
    )
    for name, content in zip(ANNOTATIONS, contents, strict=True):
        write_json(folder / name, content)
    return [folder / name for name in ANNOTATIONS]


def summarize(videos: list[VideoPlan]) -> dict[str, Any]:
    """Return the metadata of the manifest."""
    return {
        "videos": dict(Counter(video.subset for video in videos)),
        "events": dict(Counter(video.subset for video in videos for _ in video.events)),
        "seconds": round(sum(video.duration for video in videos), 2),
        "classes": [motion.label for motion in MOTIONS.values()],
        "broken": {video.name: video.damage for video in videos if video.damage},
    }


if __name__ == "__main__":
    raise SystemExit(main())
