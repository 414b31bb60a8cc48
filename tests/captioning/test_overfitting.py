"""What a captioner can learn by heart, measured with METEOR itself."""

from pathlib import Path

import torch
from helpers.caption_corpus import write_small

from pipeline.captioning.data import annotated, collate, targets
from pipeline.captioning.event_captioner import Architecture, Captioner, cross_entropy
from pipeline.captioning.validation import Judge, validate
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.tokenizer import tokenize
from pipeline.features.cache import ClipCache


def test_one_video_is_learned_to_a_meteor_above_nine_tenths(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 1})
    features, known = small.open_features(), Vocabulary.read(small.vocabulary)
    events, cache = annotated(Corpus.open(small.corpus), ["train"], features), ClipCache(features, 1.0)
    torch.manual_seed(0)
    model = Captioner(Architecture(features.dim, 16, known.size, 8, 0.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    batch, words = collate(events, cache), targets(events[0].sentences, known, 8)
    with Meteor() as meteor:
        judge = Judge(meteor.score, tokenize, known, events[0].sentences)
        before = validate(model, events, cache, judge, known)["meteor"]
        for _ in range(40):
            optimizer.zero_grad()
            cross_entropy(model(batch, words), words).backward()
            optimizer.step()
        after = validate(model, events, cache, judge, known)["meteor"]
    assert before < 0.5
    assert after > 0.9
