r"""Caption any videos with a trained model: subtitles, captions.json, and what could not be captioned.

In:  a model folder (rule bundle_model); videos: files, and folders of files, of any container and codec.
Out: OUT/captions.json, all captions in the challenge's format with their log-probabilities; for each video the
     subtitles OUT/VIDEO.srt and OUT/VIDEO.vtt (--formats: also ass, csv); OUT/rejects.csv, the videos without captions,
     and why; with --html the page OUT/captions.html, with player, timeline and search.

    sa-tsp caption my.mp4 --model results/demo/model --output captions/
    sa-tsp caption films/ more.mkv --model model/ --output captions/ --top 5 --formats srt vtt csv ass
    sa-tsp caption my.mp4 --model model/ --output captions/ --proposals times.csv

Each video is decoded once, and needs memory for a few windows, however long it is. Its files are written as soon as it
is finished. To continue a run that was stopped, run the same command again: finished videos are not captioned again.

--proposals names the times of the events, if you know them: a table (.csv) with the columns video, start, end and maybe
score, or proposals in ActivityNet's JSON. An id is the file name of a video without suffix.

Exit status: 0 if every video has captions (or no event above --min-score), 3 if some could not be captioned, 2 if the
user must change something first, 1 after an internal error.
"""

import argparse
from collections import Counter
from pathlib import Path

from pipeline.config.base import Device
from pipeline.config.command import build_parser, command
from pipeline.config.encoders import WEIGHTS_FOLDER
from pipeline.errors import PipelineError

SOME_REJECTED = 3
"""Exit status if some videos could not be captioned."""
FORMATS = ("srt", "vtt", "ass", "csv")
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__, prog="sa-tsp caption")
    add = arguments.add_argument
    add("videos", nargs="+", type=Path, metavar="VIDEO", help="files, and folders of files")
    add("--model", type=Path, required=True, help="model folder")
    add("--output", type=Path, required=True, metavar="OUT", help="folder to write")
    add("--formats", nargs="+", choices=FORMATS, default=["srt", "vtt"], help="files of each video (default: srt vtt)")
    add("--html", action="store_true", help="write the page captions.html, which plays the videos of this command")
    add("--proposals", type=Path, metavar="FILE", help="times of the events (.csv or .json) instead of learned ones")
    add("--top", type=_positive, metavar="N", help="at most N events per video, the best (default: as the model says)")
    add("--min-score", type=float, metavar="S", help="only events whose proposal scores at least S")
    add("--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of published weights that the model names")
    add("--device", choices=DEVICES, default="auto", help="device to compute on (auto: a GPU if there is one)")
    add("--workers", type=_positive, default=1, help="threads of the video decoder; several help on a GPU")
    add("--timeout-s", type=float, default=300.0, help="reject a video whose decoder hangs for this time [s]")
    add("--overwrite", action="store_true", help="replace files that were made in another way")
    args = arguments.parse_args(argv)
    return SOME_REJECTED if _caption(args) else 0


def _caption(args: argparse.Namespace) -> int:
    """Caption the videos that a command line names; return the number of rejected ones."""
    # Imported here, so that --help does not wait for torch.
    from pipeline.bundle.events import EventLimits
    from pipeline.bundle.model import Model
    from pipeline.bundle.outputs import CaptionFiles
    from pipeline.bundle.proposal_file import ProposalFile
    from pipeline.bundle.run import CaptionTask, caption_videos, list_rejects
    from pipeline.features.extraction.sources import find_sources

    for path in args.videos:
        if path.suffix == ".json":
            raise PipelineError(f"{path}: not a video; give video files, or folders of them")
    sources = find_sources(args.videos)
    files = CaptionFiles(args.output, list(dict.fromkeys(args.formats)), args.html)
    videos = [source.video for source in sources]
    inputs = [source.path for source in sources]
    files.check_inputs(videos, [*inputs, *([args.proposals] if args.proposals else [])])
    proposals = ProposalFile(args.proposals, videos) if args.proposals else None
    model = Model.open(args.model, weights=args.weights, device=args.device)
    if proposals is None and model.proposer is None:
        raise PipelineError(f"{args.model}: the model has no proposer; give the times of the events with --proposals")
    options = model.pass_settings(workers=args.workers, timeout_s=args.timeout_s)
    task = CaptionTask(sources, files, EventLimits(args.top, args.min_score), proposals, options)
    outcomes = caption_videos(model, task, overwrite=args.overwrite)
    rejects = list_rejects(outcomes)
    num_events = sum(len(outcome) for outcome in outcomes.values() if isinstance(outcome, list))
    print(f"{num_events} events of {len(outcomes) - len(rejects)} videos: {files.captions}")
    if rejects:
        reasons = Counter(rejection.reason for _, rejection in rejects)
        summary = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        print(f"{len(rejects)} left out ({summary}):\nvideo\treason\tdetail")
    for video, rejection in rejects:
        print("\t".join([video, rejection.reason, rejection.detail]))
    return len(rejects)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
