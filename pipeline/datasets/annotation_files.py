"""The annotation files of a dataset; light, because every plan of the workflow asks for them."""

from pathlib import Path

from pipeline.config.build_corpus import BuildCorpus
from pipeline.datasets.annotations import list_annotation_files


def list_sources(config: BuildCorpus) -> list[Path]:
    """Return the files of actions, of clips, then of captions; the files of a folder are sorted.

    Raises:
        PipelineError: a folder holds no annotation file.
    """
    files: list[Path] = []
    for path in config.actions:
        files += list_annotation_files(Path(path), "actions", config.readers.get(path))
    for path in config.clips:
        files += list_annotation_files(Path(path), "clips", config.readers.get(path))
    for path in config.captions:
        files += list_annotation_files(Path(path), "captions", config.readers.get(path))
    return files
