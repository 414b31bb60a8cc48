"""Made captions of clips, 20 references each, and their scores by pycocoevalcap, for `evaluate.py --clips`."""

import contextlib
import io
import json
import os
import random
from pathlib import Path
from typing import Any

NUM_REFERENCES = 20
WORDS = {
    "who": "a man|the man|a woman|a young woman|two people|a boy|the little girl|a chef|someone|a group of dancers|"
    "an old man|a band|a dog|the black cat|two dogs|a news anchor|a soccer player|a person|kids|a cartoon character",
    "what": "playing a guitar|singing a song|cooking food|slicing an onion|driving a red car|talking about the news|"
    "running down the street|dancing on stage|kicking a ball|showing a phone|folding paper|swimming in the pool|"
    "riding a horse|explaining a recipe|fighting with another|looking at the camera|drawing a picture|jumping up",
    "where": "in a kitchen|on the stage|at night|near the beach|in front of a crowd|in a café|on tv|outside|"
    "at O'Neil's bar|in the snow|by the lake|in a studio|with 2 friends|for the audience|in slow motion",
    "form": "{who} is {what} {where}|{who} {what}|{where} {who} is {what}.|There is {who}, {what} {where}!|"
    "{who} was {what} and {what} {where}|a clip of {who} {what}|{who} isn't {what}|{who} - {what} ({where})|"
    "{Who} is {what} while {who} is {what}.|this is a video about {who} {what} {where} ; it's nice",
}
SYLLABLES = ("ka", "lo", "mi", "ter", "son", "ra", "be", "vin", "du", "hal", "or", "pa", "quis", "ny", "ze", "foo")
"""Further words, such as names, one of which is in every third caption, are made of three of these."""


def write_made_clips(folder: Path, count: int) -> tuple[Path, Path]:
    """Write made predictions and references; return both files.

    A clip has a few words that most of its captions share, as real captions of a clip do.
    """
    draw = random.Random(0)
    pools = {name: texts.split("|") for name, texts in WORDS.items()}
    references, predictions = {}, {}
    for number in range(count):
        topic = {name: draw.sample(pools[name], 3) for name in ("who", "what", "where")}
        captions = [_write_caption(draw, pools, topic) for _ in range(NUM_REFERENCES + 1)]
        predictions[f"video{number}"] = captions.pop() if draw.random() > 0.003 else ""
        references[f"video{number}"] = captions
    paths = folder / "predictions.json", folder / "references.json"
    for path, captions_by_clip in zip(paths, (predictions, references), strict=True):
        path.write_text(json.dumps(captions_by_clip, ensure_ascii=False), encoding="utf-8")
    return paths


def _write_caption(draw: random.Random, pools: dict[str, list[str]], topic: dict[str, list[str]]) -> str:
    words = {name: draw.choice(topic[name] if draw.random() < 0.7 else pools[name]) for name in topic}
    caption = draw.choice(pools["form"]).format(Who=words["who"].capitalize(), **words)
    return f"{caption} called {''.join(draw.choices(SYLLABLES, k=3))}" if draw.random() < 0.3 else caption


def score_clips_officially(predictions_file: Path, reference_file: Path) -> dict[str, float]:
    """Score captions of clips as COCO's evaluation does through pycocoevalcap, all clips as one corpus.

    Returns:
        the score of the set, and of each clip where the scorer gives one, by name.
    """
    # Java reads bytes in the encoding of its locale; this makes it UTF-8 on every machine.
    os.environ["JAVA_TOOL_OPTIONS"] = "-Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8"
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    predictions = json.loads(predictions_file.read_text(encoding="utf-8"))
    references = json.loads(reference_file.read_text(encoding="utf-8"))
    captions: dict[str, Any] = {clip: [{"caption": predictions[clip]}] for clip in references}
    sentences = {clip: [{"caption": text} for text in texts] for clip, texts in references.items()}
    tokenizer = PTBTokenizer()
    sentence_tokens, caption_tokens = tokenizer.tokenize(sentences), tokenizer.tokenize(captions)
    scores: dict[str, float] = {}
    for scorer, names in (
        (Bleu(4), [f"Bleu_{order}" for order in range(1, 5)]),
        (Meteor(), ["METEOR"]),
        (Rouge(), ["ROUGE_L"]),
        (Cider(), ["CIDEr"]),
    ):
        with contextlib.redirect_stdout(io.StringIO()):
            score, of_clips = scorer.compute_score(sentence_tokens, caption_tokens)
        for name, value, values in zip(
            names, score if len(names) > 1 else [score], of_clips if len(names) > 1 else [of_clips], strict=True
        ):
            scores[name] = float(value)
            scores |= {f"{name} of {clip}": float(one) for clip, one in zip(references, values, strict=True)}
    return scores
