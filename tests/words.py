"""The word audit: words that the project does not use, with what to write instead.

    python tests/words.py [--count] [FILE ...]

Reads the tracked text files of the repository (or the given files) and prints `file:line: word: what to write`.
`words.toml` beside this script has the words and the allow list. Exit status: 0 without findings, 1 with
findings, 2 if the audit itself is wrong (no files, an unknown key, an entry of the allow list that nothing uses).

A word of `text` is looked for in every line. A word of `names` is looked for in names only: identifiers and strings
that consist of one identifier in Python, words outside comments in SQL, code spans in Markdown. The name of a test is
a sentence: it is audited as text.

Standard library only. `make lint` and the pre-commit hook run it.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULES = Path(__file__).with_name("words.toml")
SUFFIXES = (".py", ".md", ".sql", ".toml", ".yaml", ".yml", ".service", ".mako", ".ini", ".txt")
NAMES = ("Makefile",)
FOLDERS = ("bench", "benchcoe_jobs", "cli", "docs", "migrations", "tests", "workers")
"""Each has audited files; a list of files without one of them is a broken list."""

BREAK = r"\s+(?:(?:#|--|>)\s*)?"
"""Between two words of a phrase: a space, or the end of a line and the beginning of the next one in a comment."""

COMPONENT = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
IDENTIFIER = re.compile(r"""[rbfuRBFU]*(["']{1,3})([A-Za-z_]\w*)\1""")


class BrokenAuditError(Exception):
    """The audit cannot be trusted: no files, or rules that are wrong."""


@dataclass(frozen=True, slots=True)
class Word:
    pattern: re.Pattern[str]
    instead: str


@dataclass(slots=True)
class Allowed:
    """Findings in `file` (a glob) on a line that contains `phrase` are no findings; an empty phrase is every line."""

    file: str
    phrase: str
    reason: str
    used: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    file: str
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.word}: {self.instead}"


@dataclass(slots=True)
class Rules:
    text: list[Word] = field(default_factory=list)
    names: list[Word] = field(default_factory=list)
    exempt: list[str] = field(default_factory=list)
    allow: list[Allowed] = field(default_factory=list)


def read_rules(path: Path) -> Rules:
    """The rules of a TOML file. Raises BrokenAuditError if a key is unknown or a list of words is empty."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    unknown = set(document) - {"text", "names", "exempt", "allow"}
    if unknown:
        raise BrokenAuditError(f"{path.name}: unknown keys: {', '.join(sorted(unknown))}")
    rules = Rules(exempt=document.get("exempt", []))
    for word, instead in document.get("text", {}).items():
        rules.text.append(Word(re.compile(rf"\b(?:{word.replace(' ', BREAK)})\b", re.IGNORECASE), instead))
    for word, instead in document.get("names", {}).items():
        rules.names.append(Word(re.compile(word), instead))
    for entry in document.get("allow", []):
        try:
            rules.allow.append(Allowed(**entry))
        except TypeError as error:
            raise BrokenAuditError(f"{path.name}: an entry of allow has file, phrase and reason: {entry}") from error
        if not entry["reason"].strip():
            raise BrokenAuditError(f"{path.name}: an entry of allow without a reason: {entry}")
    if not rules.text or not rules.names:
        raise BrokenAuditError(f"{path.name}: no words")
    return rules


def tracked_files(root: Path) -> list[str]:
    """The audited files that git tracks or would track. Raises BrokenAuditError if a folder has none."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BrokenAuditError(f"git lists no files in {root}: {error}") from error
    names = sorted(name for name in set(listed.split("\0")) if is_audited(name) and (root / name).is_file())
    require_all_folders(names)
    return names


def is_audited(name: str) -> bool:
    return name.endswith(SUFFIXES) or Path(name).name in NAMES


def require_all_folders(names: Sequence[str]) -> None:
    missing = sorted(set(FOLDERS) - {name.partition("/")[0] for name in names})
    if missing:
        raise BrokenAuditError(f"no files to audit in {', '.join(missing)}")


def audit(root: Path, names: Sequence[str], rules: Rules) -> list[Finding]:
    """The findings in the files `names` (relative to `root`), in their order; counts the uses of the allow list."""
    found = []
    known: dict[str, list[Word]] = {}
    for name in names:
        if any(fnmatchcase(name, pattern) for pattern in rules.exempt):
            continue
        text = (root / name).read_text(encoding="utf-8")
        lines = text.splitlines()
        used = list(names_of(name, text))
        candidates = [*in_text(name, text, used, rules.text), *in_names(name, used, rules.names, known)]
        for finding in sorted(candidates, key=lambda finding: finding.line):
            if not is_allowed(finding, lines[finding.line - 1], rules.allow):
                found.append(finding)
    return found


def is_allowed(finding: Finding, line: str, allow: list[Allowed]) -> bool:
    for entry in allow:
        if fnmatchcase(finding.file, entry.file) and entry.phrase in line:
            entry.used += 1
            return True
    return False


def in_text(name: str, text: str, names: Sequence[tuple[int, str]], words: Sequence[Word]) -> Iterator[Finding]:
    for word in words:
        for match in word.pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Finding(name, line, " ".join(match[0].split()), word.instead)
    for line, identifier in names:
        if identifier.startswith("test_"):
            sentence = identifier.replace("_", " ")
            yield from (
                Finding(name, line, identifier, word.instead) for word in words if word.pattern.search(sentence)
            )


def in_names(
    name: str, names: Sequence[tuple[int, str]], words: Sequence[Word], known: dict[str, list[Word]]
) -> Iterator[Finding]:
    """Words that a name consists of (`lot` in `lot_id` and `NewLot`) or that are a whole name (`Asked`).

    `known` has the words of the names seen so far: the same names occur in many files.
    """
    for line, identifier in sorted(set(names)):
        if not identifier.startswith("test_"):
            if identifier not in known:
                known[identifier] = words_in(identifier, words)
            yield from (Finding(name, line, identifier, word.instead) for word in known[identifier])


def words_in(identifier: str, words: Sequence[Word]) -> list[Word]:
    """The words that a name consists of."""
    parts = {identifier, *(part.lower() for part in COMPONENT.findall(identifier))}
    return [word for word in words if any(word.pattern.fullmatch(part) for part in parts)]


def names_of(name: str, text: str) -> Iterator[tuple[int, str]]:
    if name.endswith(".py"):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                yield token.start[0], token.string
            elif token.type == tokenize.STRING and (match := IDENTIFIER.fullmatch(token.string)):
                yield token.start[0], match[2]
    for number, line in enumerate(text.splitlines(), start=1):
        if name.endswith(".sql"):
            yield from ((number, word) for word in re.findall(r"[A-Za-z_]\w*", line.partition("--")[0]))
        elif name.endswith(".md"):
            for span in re.findall(r"`([^`]+)`", line):
                yield from ((number, word) for word in re.findall(r"[A-Za-z_]\w*", span) if " " not in span)


def main(arguments: Sequence[str]) -> int:
    count = "--count" in arguments
    given = [Path(word).resolve().relative_to(ROOT).as_posix() for word in arguments if word != "--count"]
    try:
        rules = read_rules(RULES)
        names = [name for name in given if is_audited(name)] if given else tracked_files(ROOT)
        found = audit(ROOT, names, rules)
        unused = [] if given else [entry for entry in rules.allow if not entry.used]
    except BrokenAuditError as error:
        print(f"the word audit is broken: {error}", file=sys.stderr)
        return 2
    if count:
        for name, n in Counter(finding.file for finding in found).most_common():
            print(f"{n:5}  {name}")
    else:
        for finding in found:
            print(finding)
    sys.stdout.flush()
    for entry in unused:
        print(
            f"{RULES.name}: an entry of the allow list that allows nothing: {entry.file}: {entry.phrase!r}",
            file=sys.stderr,
        )
    print(f"word audit: {len(names)} files, {len(found)} findings", file=sys.stderr)
    return 2 if unused else int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
