"""What every registered localizer promises of its scores and detections. tests/test_train_localizer.py trains them."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from helpers.action_corpus import LABELS, ActionCorpus, small_localizer, training_words, write_action_corpus

from pipeline import train_localizer
from pipeline.config.localizers import LOCALIZERS
from pipeline.features.cache import FeatureCache
from pipeline.localization.localizer import Detections, LocalizerInputs
from pipeline.localization.localizer_bundle import LocalizerBundle, load_localizer
from pipeline.localization.proposals import read_proposals

VIDEOS = [f"v_test{number}" for number in range(3)]
LIMIT = 3
"""Most detections of a video."""
LIMITS = {"pgcn": {"max_pairs": LIMIT}}
"""Settings that limit the detections, where it is not `max_detections`."""

KIND = pytest.mark.parametrize("kind", LOCALIZERS)


class TrainedLocalizer(NamedTuple):
    """A localizer after one epoch, and what it reads."""

    bundle: LocalizerBundle
    inputs: LocalizerInputs

    def detect(self, video: str) -> Detections:
        """Return the detections of a video that is scored alone."""
        [scores] = self.bundle.localizer.score(self.inputs, [video])
        return self.bundle.localizer.detect(self.inputs, video, scores)


Train = Callable[[str], TrainedLocalizer]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> ActionCorpus:
    return write_action_corpus(tmp_path_factory.mktemp("actions"), {"train": 4, "test": len(VIDEOS)})


@pytest.fixture(scope="module")
def train(corpus: ActionCorpus) -> Train:
    """A function that trains a localizer of a kind, the first time that it is called."""

    @cache
    def train_kind(kind: str) -> TrainedLocalizer:
        folder = corpus.folder / kind
        config = small_localizer(kind, epochs=1, **LIMITS.get(kind, {"max_detections": LIMIT}))
        assert train_localizer.main(training_words(corpus, config, folder)) == 0
        bundle = load_localizer(folder / "localizer" / "manifest.json")
        proposals = read_proposals(corpus.proposals) if bundle.settings.reads_proposals else None
        features = FeatureCache(bundle.open_features(corpus.features, 1), 0.0)
        return TrainedLocalizer(bundle, LocalizerInputs(features, proposals))

    return train_kind


@KIND
def test_scores_and_detections_do_not_depend_on_other_videos(train: Train, kind: str) -> None:
    localizer, inputs = train(kind).bundle.localizer, train(kind).inputs
    for video, scores in zip(VIDEOS, localizer.score(inputs, VIDEOS), strict=True):
        [alone] = localizer.score(inputs, [video])
        assert scores.keys() == alone.keys()
        for name, array in scores.items():
            np.testing.assert_allclose(array, alone[name], rtol=1e-4, atol=1e-6)
        detections = localizer.detect(inputs, video, scores)
        np.testing.assert_allclose(detections.scores, train(kind).detect(video).scores, rtol=1e-4, atol=1e-6)


@KIND
def test_detections_are_segments_of_the_video_and_the_best_come_first(train: Train, kind: str) -> None:
    number = 0
    for video in VIDEOS:
        detections = train(kind).detect(video)
        assert detections.segments.shape == (len(detections.scores), 2)
        assert len(detections.scores) <= LIMIT
        starts, ends = detections.segments.T
        assert (starts >= 0).all()
        assert (starts < ends).all()
        assert (ends <= train(kind).inputs.duration(video) + 1e-9).all()
        assert (np.diff(detections.scores) <= 0).all()
        number += len(detections.scores)
    assert number > 0


@KIND
def test_detections_have_classes_if_the_settings_say_so(train: Train, kind: str) -> None:
    for video in VIDEOS:
        labels = train(kind).detect(video).labels
        assert (labels is not None) == train(kind).bundle.settings.has_classes
        assert labels is None or set(labels.tolist()) <= set(range(len(LABELS)))


@KIND
def test_only_a_localizer_that_reads_proposals_names_an_entry_of_them(train: Train, kind: str) -> None:
    settings = train(kind).bundle.settings
    assert (type(settings)(features=["toy"]).proposals is not None) == settings.reads_proposals
