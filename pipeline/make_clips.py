r"""Make the synthetic dataset of clips: a small MSR-VTT of encoded videos, with annotations in its format.

In:  nothing but the section `make_clips` of the configuration; everything follows from its seed.
Out: `manifest.json`; beside it `videos/video<n>.<suffix>` and `videodatainfo.json` (captions, categories, splits).
     A few annotated clips have no file, as clips that were deleted.

Alone and small:

    python -m pipeline.make_clips --output /tmp/clips/manifest.json \
        --config '{"train_clips": 6, "val_clips": 2, "test_clips": 2, "missing_clips": 1}'
"""

from collections import Counter
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.make_clips import MakeClips
from pipeline.demo.clip_videos import clip_annotations, plan_clips
from pipeline.demo.render import render_videos
from pipeline.io.atomic import write_json
from pipeline.provenance.computation import Computation
from pipeline.provenance.manifest import write_manifest

STAGE = "make_clips"
ANNOTATIONS = "videodatainfo.json"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, MakeClips, STAGE)
    arguments.add_argument(
        "--output", type=Path, required=True, help="manifest to write; the dataset is written to its folder"
    )
    args = arguments.parse_args(argv)
    config = read_config(args.config, MakeClips, STAGE)
    annotations = args.output.with_name(ANNOTATIONS)
    computation = Computation(STAGE, config, [], [args.output, annotations])
    if computation.restore():
        return 0
    clips = plan_clips(config)
    write_json(annotations, clip_annotations(clips, config))
    files = render_videos(clips[config.missing_clips :], args.output.parent / "videos", config.workers)
    metadata = {
        "clips": dict(Counter(clip.subset for clip in clips)),
        "missing": [clip.id for clip in clips[: config.missing_clips]],
        "seconds": round(sum(clip.duration for clip in clips), 2),
        "categories": dict(sorted(Counter(clip.motion for clip in clips).items())),
    }
    write_manifest(args.output, [*files, annotations], metadata)
    computation.keep_outputs()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
