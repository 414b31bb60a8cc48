r"""Make the synthetic dataset of acts: a small Something-Something of encoded videos, with annotations in its formats.

In:  nothing but the section `make_acts` of the configuration; everything follows from its seed.
Out: `manifest.json`; beside it `videos/<id>.webm`, `v2-train.json` and `v2-validation.json` (templates and
     placeholders), `labels.json` (classes) and `groups.json` (group of each class).

    python -m pipeline.make_acts --output /tmp/acts/manifest.json --config '{"train_videos": 6, "val_videos": 3}'
"""

from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.make_acts import MakeActs
from pipeline.demo.act_videos import ActPlan, act_annotations, act_classes, act_groups, draw_act, plan_acts
from pipeline.demo.render import render_videos
from pipeline.io.atomic import write_json
from pipeline.provenance.computation import Computation
from pipeline.provenance.manifest import write_manifest

STAGE = "make_acts"
ANNOTATIONS = ("v2-train.json", "v2-validation.json", "labels.json", "groups.json")
"""Names of the files beside the videos."""


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, MakeActs, STAGE)
    arguments.add_argument(
        "--output", type=Path, required=True, help="manifest to write; the dataset is written to its folder"
    )
    args = arguments.parse_args(argv)
    config = read_config(args.config, MakeActs, STAGE)
    outputs = [args.output, *(args.output.with_name(name) for name in ANNOTATIONS)]
    computation = Computation(STAGE, config, [], outputs)
    if computation.restore():
        return 0
    videos, folder = plan_acts(config), args.output.parent
    files = render_videos(videos, folder / "videos", config.workers, draw_act)
    files += write_annotations(videos, folder)
    write_manifest(args.output, files, summarize(videos))
    computation.keep_outputs()
    return 0


def write_annotations(videos: list[ActPlan], folder: Path) -> list[Path]:
    """Write the annotation files and return their paths."""
    training = [video for video in videos if video.subset == "training"]
    validation = [video for video in videos if video.subset == "validation"]
    contents = (act_annotations(training), act_annotations(validation), act_classes(), act_groups())
    for name, content in zip(ANNOTATIONS, contents, strict=True):
        write_json(folder / name, content)
    return [folder / name for name in ANNOTATIONS]


def summarize(videos: list[ActPlan]) -> dict[str, Any]:
    """Return the metadata of the manifest."""
    return {
        "videos": dict(Counter(video.subset for video in videos)),
        "seconds": round(sum(video.duration for video in videos), 2),
        "classes": dict(sorted(Counter(video.template for video in videos).items())),
    }


if __name__ == "__main__":
    raise SystemExit(main())
