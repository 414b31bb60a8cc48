"""Which concepts are shown when."""

import json
from pathlib import Path

import pytest

from pipeline.encoders.concept_labels import Concept, ConceptLabels, read_concepts
from pipeline.errors import PipelineError

CONCEPTS = [
    Concept("ball", ("ball", "balls"), "NOUN"),
    Concept("red", ("red",), "ADJ"),
    Concept("bounce", ("bounces", "bouncing"), "VERB"),
]


def caption(sentence: str, start: float, end: float, video: str = "a") -> dict[str, object]:
    return {"video": video, "annotator": 1, "start": start, "end": end, "sentence": sentence}


def test_concepts_of_all_covering_sentences_are_shown() -> None:
    labels = ConceptLabels(
        [caption("Two BALLS, red.", 0, 4), caption("It bounces.", 3, 6), caption("Balled reds.", 7, 8)], CONCEPTS
    )
    assert labels.at("a", 1.0) == (0, 1)
    assert labels.at("a", 3.5) == (0, 1, 2)
    assert labels.at("a", 6.0) == (2,)
    assert labels.at("a", 7.5) == (), "a sentence without concepts says that none is shown"
    assert labels.at("a", 6.5) is None, "without a sentence nobody knows"
    assert labels.at("b", 1.0) is None


def test_without_concepts_nothing_is_covered() -> None:
    assert ConceptLabels([caption("A ball.", 0, 4)], []).at("a", 1.0) is None


def test_concepts_are_read_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    entries = [{"word": c.word, "pos": c.pos, "count": 3, "idf": 1.0, "forms": list(c.forms)} for c in CONCEPTS]
    path.write_text(json.dumps(entries))
    assert read_concepts(path) == CONCEPTS


def test_without_forms_a_concept_is_its_word(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_text('[{"word": "ball", "pos": "NOUN", "count": 3, "idf": 1.0}]')
    assert read_concepts(path) == [Concept("ball", ("ball",), "NOUN")]
    labels = ConceptLabels([caption("A ball.", 0, 4), caption("Two balls.", 5, 6)], read_concepts(path))
    assert (labels.at("a", 1.0), labels.at("a", 5.5)) == ((0,), ())


@pytest.mark.parametrize("text", ["[]", "{}", '["ball"]', '[{"word": "ball"}]', '[{"pos": "NOUN"}]', "3"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "concepts.json"
    path.write_text(text)
    with pytest.raises(PipelineError, match=r"concepts\.json"):
        read_concepts(path)
