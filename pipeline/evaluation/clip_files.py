"""Files of captions of clips, read with every check that the evaluation relies on."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.evaluate_clips import EvaluateClips
from pipeline.datasets.annotations import read_clips
from pipeline.datasets.clip_captions import read_clip_json
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.errors import PipelineError
from pipeline.evaluation.matching import abbreviate_names
from pipeline.evaluation.predictions import KEYS, read_predictions
from pipeline.io.atomic import read_json

UNKNOWN = "<unk>"
"""What a word outside the vocabulary is called where captions are compared."""


def read_clip_predictions(path: Path) -> dict[str, str]:
    """Read one caption of each clip: JSON of clips and captions (`clip_json`), or the submission format.

    Raises:
        PipelineError: the file is absent or malformed, or a clip has several captions; names the file and the clip.
    """
    data = read_json(path, "captions")
    if isinstance(data, dict) and data.keys() == set(KEYS):
        captions = {
            clip: tuple(caption["sentence"] for caption in of_clip)
            for clip, of_clip in read_predictions(path).results.items()
            if of_clip
        }
    else:
        captions = {clip: entry.captions for clip, entry in read_clip_json(path).items()}
    several = next((clip for clip, of_clip in captions.items() if len(of_clip) > 1), None)
    if several is not None:
        raise PipelineError(
            f"{path}: clip {several} has {len(captions[several])} captions; give one caption for each clip"
        )
    return {clip: caption for clip, (caption,) in captions.items()}


def read_clip_references(paths: Sequence[Path], settings: EvaluateClips) -> dict[str, tuple[str, ...]]:
    """Read the references of clips from files in any format of clips, in the order of the files.

    Captions without a word are no references.

    Args:
        paths: files of different clips.
        settings: reader and subset.

    Raises:
        PipelineError: a file is malformed, a clip is in two files, the subset has no clip, or a clip has no captions.
    """
    references: dict[str, tuple[str, ...]] = {}
    for path in paths:
        for clip, entry in read_clips(path, settings.reader).items():
            if settings.subset not in (None, entry.subset):
                continue
            if clip in references:
                raise PipelineError(f"{path}: clip {clip} is in another file of references too; keep one of the two")
            references[clip] = tuple([caption for caption in entry.captions if caption.strip()])
    names = ", ".join(map(str, paths))
    if not references:
        raise PipelineError(f"{names}: no clip of the subset {settings.subset}; the file may not state subsets")
    without = [clip for clip, captions in references.items() if not captions]
    if without:
        raise PipelineError(
            f"{names}: {len(without)} clips have no captions ({abbreviate_names(without)}); remove them"
        )
    return references


def fill_missing(
    predictions: dict[str, str], others: dict[str, str], references: dict[str, tuple[str, ...]]
) -> tuple[dict[str, str], int]:
    """Add captions of another captioner for the clips of the references that have none.

    Official counts of VATEX are only reached so: many of its clips are not on YouTube any more.

    Returns:
        the captions, and the number of those that were added.
    """
    added = {clip: others[clip] for clip in references if clip not in predictions and clip in others}
    return {**predictions, **added}, len(added)


def known_captions(captions: Sequence[str], vocabulary: Vocabulary | None) -> set[str]:
    """Return training captions in the form of predictions: words of the vocabulary, others as `<unk>`.

    Args:
        captions: as annotated.
        vocabulary: of the captioner; None compares the words as they are.
    """
    if vocabulary is None:
        return {" ".join(caption.lower().split()) for caption in captions}
    words = set(vocabulary.words)
    return {" ".join(word if word in words else UNKNOWN for word in vocabulary.split(caption)) for caption in captions}
