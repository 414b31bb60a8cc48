"""The PTB tokenizer of the official evaluators: sentences in, lower-case tokens without punctuation out."""

import re
from collections.abc import Sequence
from itertools import pairwise

from pipeline.evaluation.java import run_lines

JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
PUNCTUATION = frozenset(
    {"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
)
"""What the official evaluators drop. The tokens being lower-case, the four brackets never match and stay
(`-lrb-`)."""
Step = tuple[str, str]
"""A sentence and the one after it."""
BORDER = ";"
"""A line between documents: the lexer treats it as it treats the end of the text."""


def tokenize(sentences: Sequence[str], timeout_s: float = 600.0) -> list[str]:
    """Tokenize sentences as the official ActivityNet Captions evaluator does.

    Every character that is not printable ASCII becomes a space first; the official evaluator does that to
    line feeds and to all that is not ASCII, and the tokenizer itself takes the remaining control characters
    for white space or for ends of lines. The lexer peeks into the next line: a final `T.` loses its period if
    `The` follows, so the answer for a sentence may (rarely) depend on the sentence after it.

    Args:
        sentences: raw captions or references.
        timeout_s: a Java that needs longer is stopped, seconds.

    Returns:
        For each sentence its tokens, joined by single spaces (`1 1/4` is one token, with a no-break space
        inside); empty where nothing is left.

    Raises:
        PipelineError: no Java, or it failed, or answered with another number of lines.
    """
    return tokenize_documents([sentences], timeout_s)[0]


def tokenize_documents(documents: Sequence[Sequence[str]], timeout_s: float = 600.0) -> list[list[str]]:
    """Tokenize lists of sentences in one call of Java, each list as `tokenize` would alone.

    What a sentence becomes depends on itself and on the one after it in its list: Java reads it once for each
    different sentence that comes after it anywhere, not once for each place where it stands.

    Args:
        documents: lists of raw captions or references.
        timeout_s: a Java that needs longer is stopped, seconds.

    Returns:
        For each list, what `tokenize` gives for it.

    Raises:
        PipelineError: no Java, or it failed, or answered with another number of lines.
    """
    clean = {one: re.sub(r"[^ -~]", " ", one) for one in {one for document in documents for one in document}}
    plain = [[clean[one] for one in document] for document in documents]
    steps = [list(pairwise([*document, BORDER])) for document in plain]
    lines, known = _walks(steps)
    if not lines:
        return [[] for _ in documents]
    answers = _run(lines, timeout_s)
    tokens = {step: _drop_punctuation(answers[line]) for step, line in known.items()}
    return [[tokens[step] for step in document] for document in steps]


def _walks(documents: Sequence[Sequence[Step]]) -> tuple[list[str], dict[Step, int]]:
    """Lines in which every step from a sentence to the next one is made at least once.

    Returns:
        The lines; for each step, the line of its sentence.
    """
    lines: list[str] = []
    known: dict[Step, int] = {}
    for document in documents:
        walking = False
        for step in document:
            if step not in known:
                known[step] = len(lines)
                lines.append(step[0])
                walking = True
            elif walking:  # the step before needs this sentence to see; then it may end
                lines += [step[0], BORDER]
                walking = False
        if walking:
            lines.append(BORDER)
    return lines, known


def _run(lines: list[str], timeout_s: float) -> list[str]:
    program = ("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
    return run_lines(JAR, program, lines, timeout_s)


def _drop_punctuation(line: str) -> str:
    """A line without punctuation tokens; cut at spaces only, since `1 1/4` holds a no-break space."""
    return " ".join(word for word in line.split(" ") if word and word not in PUNCTUATION)
