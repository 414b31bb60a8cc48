"""The PTB tokenizer of the official evaluators: it turns sentences into lower-case tokens without punctuation."""

import re
from collections.abc import Collection, Container, Sequence
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
LETTERS = r"[^\W\d_]+(?:['-][^\W\d_]+)*"
KINDS = re.compile(
    rf"(?P<word>\(?{LETTERS}\)?[,;:!?]?|[-,;!?]|)|(?P<number>[0-9]+[a-z]*)|(?P<with_period>\(?{LETTERS}\)?\.)"
)
"""What the lexer reads without regard to its neighbours: words; a number, if no other one is near (`1 1/4` is one
token); a word with a period, if it is no abbreviation."""
NEIGHBOURS = ("the", "The", "5")
"""Any abbreviation keeps its period before one of these words. Other words never do."""
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
    distinct = set().union(*documents)
    unprintable = NOT_ASCII if ascii_only else CONTROLS
    # Most sentences are printable: the expression, which is slower, reads the others only.
    printable_of = {
        sentence: sentence
        if sentence.isprintable() and (sentence.isascii() or not ascii_only)
        else unprintable.sub(" ", sentence)
        for sentence in distinct
    }
    tokens_of = _tokenize_by_word(set(printable_of.values()), timeout_s)
    printable = [[printable_of[sentence] for sentence in document] for document in documents]
    pairs = [list(pairwise([*document, SEPARATOR])) for document in printable]
    lines, line_of = _arrange_lines(pairs, tokens_of)
    output = _run_tokenizer(lines, timeout_s)
    tokens = {pair: output[line] for pair, line in line_of.items()}
    return [[tokens_of[pair[0]] if pair[0] in tokens_of else tokens[pair] for pair in document] for document in pairs]


def _tokenize_by_word(sentences: Collection[str], timeout_s: float) -> dict[str, str]:
    """Tokenize the sentences all of whose words the lexer reads without regard to their neighbours.

    Java reads each distinct word once. Most captions are such sentences.

    Returns:
        The tokens of these sentences; the other ones are left out.
    """
    words_of = {sentence: sentence.split(" ") for sentence in sentences}
    words = set().union(*words_of.values())
    kinds = {word: match.lastgroup for word in words if (match := KINDS.fullmatch(word))}
    lines = [f"{word} {other}" for word, kind in kinds.items() for other in NEIGHBOURS if kind == "with_period"]
    lines += [word for word, kind in kinds.items() if kind != "with_period"]
    tokens_of_line = dict(zip(lines, _run_tokenizer(lines, timeout_s), strict=True))
    tokens, num_numbers = dict[str, str](), dict.fromkeys(words, 2)  # any more than one number is too many
    for word, kind in kinds.items():
        if kind == "with_period":
            options = {tokens_of_line[f"{word} {other}"].removesuffix(other.lower()) for other in NEIGHBOURS}
            is_abbreviation = len(options) > 1 or any("." in option for option in options)
            tokens[word], num_numbers[word] = options.pop().rstrip(" "), 2 if is_abbreviation else 0
        else:
            tokens[word], num_numbers[word] = tokens_of_line[word], int(kind == "number")
    numeric = {word for word, number in num_numbers.items() if number}
    return {
        sentence: " ".join(filter(None, map(tokens.__getitem__, of_sentence)))
        for sentence, of_sentence in words_of.items()
        if numeric.isdisjoint(of_sentence) or sum([num_numbers[word] for word in of_sentence]) <= 1
    }


def _arrange_lines(
    documents: Sequence[Sequence[SentencePair]], done: Container[str]
) -> tuple[list[str], dict[SentencePair, int]]:
    """Arrange sentences in lines so that every pair of a sentence and its next one occurs at least once.

    Args:
        documents: the pairs of each document.
        done: sentences whose tokens are known.

    Returns:
        The lines; for each pair whose sentence is not done, the line of its sentence.
    """
    lines: list[str] = []
    line_of: dict[SentencePair, int] = {}
    for document in documents:
        is_open = False
        for pair in document:
            if pair not in line_of and pair[0] not in done:
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
    """Return the tokens of lines, joined by single spaces, without punctuation."""
    program = ("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
    # Split at spaces only, since the token `1 1/4` contains a no-break space.
    return [
        " ".join([token for token in line.split(" ") if token and token not in PUNCTUATION])
        for line in (run_lines(JAR, program, lines, timeout_s) if lines else [])
    ]
