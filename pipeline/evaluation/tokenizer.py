"""The PTB tokenizer of the official evaluators: it turns sentences into lower-case tokens without punctuation."""

import re
from collections.abc import Sequence
from itertools import pairwise

from pipeline.evaluation.java import run_lines

JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
PUNCTUATION = frozenset(
    {"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
)
"""Tokens that the official evaluators drop. Since tokens are lower-case, the four brackets never match and remain
(`-lrb-`)."""
NOT_ASCII = re.compile(r"[^ -~]")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, ends of lines and lone surrogates."""
SentencePair = tuple[str, str]
"""A sentence and the next one."""
SEPARATOR = ";"
"""A line between documents: the lexer treats it like the end of the text."""


def tokenize(sentences: Sequence[str], timeout_s: float = 600.0) -> list[str]:
    """Tokenize sentences as the official ActivityNet Captions evaluator does.

    Every character that is not printable ASCII becomes a space first: the official evaluator replaces line feeds and
    non-ASCII characters, and the tokenizer treats the remaining control characters as white space or line ends. The
    lexer looks ahead into the next line: a final `T.` loses its period if `The` follows. So the tokens of a sentence
    may (rarely) depend on the next sentence.

    Args:
        sentences: raw captions or references.
        timeout_s: Java is stopped when it needs longer [s].

    Returns:
        The tokens of each sentence, joined by single spaces (`1 1/4` is one token, with a no-break space inside);
        empty if no token is left.

    Raises:
        PipelineError: there is no Java, or it failed or returned another number of lines.
    """
    return tokenize_documents([sentences], timeout_s)[0]


def tokenize_documents(
    documents: Sequence[Sequence[str]], timeout_s: float = 600.0, *, ascii_only: bool = True
) -> list[list[str]]:
    """Tokenize lists of sentences in one call of Java, each list independently of the others.

    The tokens of a sentence depend on the sentence and on the next one in its list. So Java reads it once for each
    distinct next sentence, not once for each occurrence.

    Args:
        documents: lists of raw captions or references.
        timeout_s: Java is stopped when it needs longer [s].
        ascii_only: replace what is not ASCII by spaces, as the evaluator of ActivityNet Captions does; COCO's does not.

    Returns:
        For each list, the result of `tokenize`.

    Raises:
        PipelineError: there is no Java, or it failed or returned another number of lines.
    """
    distinct = {sentence for document in documents for sentence in document}
    unprintable = NOT_ASCII if ascii_only else CONTROLS
    printable_of = {sentence: unprintable.sub(" ", sentence) for sentence in distinct}
    printable = [[printable_of[sentence] for sentence in document] for document in documents]
    pairs = [list(pairwise([*document, SEPARATOR])) for document in printable]
    lines, line_of = _arrange_lines(pairs)
    if not lines:
        return [[] for _ in documents]
    output = _drop_punctuation(_run_tokenizer(lines, timeout_s))
    tokens = {pair: output[line] for pair, line in line_of.items()}
    return [[tokens[pair] for pair in document] for document in pairs]


def _arrange_lines(documents: Sequence[Sequence[SentencePair]]) -> tuple[list[str], dict[SentencePair, int]]:
    """Arrange sentences in lines so that every pair of a sentence and its next one occurs at least once.

    Returns:
        The lines; for each pair, the line of its sentence.
    """
    lines: list[str] = []
    line_of: dict[SentencePair, int] = {}
    for document in documents:
        is_open = False
        for pair in document:
            if pair not in line_of:
                line_of[pair] = len(lines)
                lines.append(pair[0])
                is_open = True
            elif is_open:  # the previous pair needs this sentence as its next one; then the run may end
                lines += [pair[0], SEPARATOR]
                is_open = False
        if is_open:
            lines.append(SEPARATOR)
    return lines, line_of


def _run_tokenizer(lines: list[str], timeout_s: float) -> list[str]:
    program = ("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
    return run_lines(JAR, program, lines, timeout_s)


def _drop_punctuation(lines: Sequence[str]) -> list[str]:
    """Drop the punctuation tokens of lines; split at spaces only, since `1 1/4` contains a no-break space."""
    return [" ".join([word for word in line.split(" ") if word and word not in PUNCTUATION]) for line in lines]
