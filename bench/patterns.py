"""The regular expressions of the package on hostile texts: which take more than linear time.

    python bench/patterns.py [--length 10000]

Every compiled pattern of a module is used, by the methods that the module uses, on texts of one repeated piece:
letters, digits, blanks, brackets, line breaks, and the words of the pattern itself. A pattern is listed if a text that
is twice as long takes 2.8 times as long or more, with the piece and the seconds. Patterns of file names, which a
module only hands on, are matched as a whole.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
import signal
import time
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import TypeAlias

import benchcoe_jobs
import benchcoe_jobs.cli

Pattern: TypeAlias = re.Pattern[str] | re.Pattern[bytes]

PIECES = [
    *"aA1 \t\n([{<.,-_:=/%&?\"'\\é",
    *(
        "a ",
        "1,",
        "1.",
        "1e",
        "a.",
        "a-",
        "a\n",
        " \n",
        "A:",
        "a=",
        "{{",
        "{{ ",
        "(A",
        "[a",
        "<a",
        "a/",
        "0.0",
        "1,000",
    ),
    *("\nA", ": ", "'a", '"a', "a:", "a b", "ab_", "1_", "a1", "1a"),
]
METHODS = {"match": "match", "fullmatch": "fullmatch"} | dict.fromkeys(
    ("search", "sub", "subn", "split", "findall", "finditer"), "finditer"
)
"""A method of a pattern -> the one that is timed for it: those that search take at most the time of all matches."""

LIMIT_S = 5.0
MIN_S = 0.02
WORD = re.compile(r"[A-Za-z<>_ ]{3,}")
OPENING = re.compile(r"\\.|\[[^]]*\]|\(\?[^)]*\)|[()^$*+?{}|]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=10_000, help="characters of the shorter text")
    options = parser.parse_args()
    signal.signal(signal.SIGVTALRM, _too_long)
    n = slow = 0
    for name, pattern, methods in patterns():
        n += 1
        for piece in dict.fromkeys([*PIECES, *words(pattern)]):
            if (line := super_linear(pattern, methods, piece, options.length)) is not None:
                slow += 1
                print(f"{name}: {pattern.pattern!r:.120}: {line}", flush=True)
    print(f"{n} patterns, {slow} pairs of pattern and piece that take more than linear time")


def patterns() -> Iterator[tuple[str, Pattern, set[str]]]:
    """The patterns at the top of each module, each once, and the methods by which the module uses it."""
    seen: set[int] = set()
    for package in (benchcoe_jobs, benchcoe_jobs.cli):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" in found.name or found.name.endswith("__main__"):
                continue
            try:
                module = importlib.import_module(found.name)
            except ImportError as error:  # an engine whose library is not installed
                print(f"{found.name}: {error}")
                continue
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern) and id(value) not in seen:
                    seen.add(id(value))
                    used = set(re.findall(rf"\b{name}\.(\w+)", inspect.getsource(module)))
                    yield (
                        f"{found.name}.{name}",
                        value,
                        {METHODS[one] for one in used if one in METHODS} or {"fullmatch"},
                    )


def words(pattern: Pattern) -> list[str]:
    """Literal words of a pattern: a match begins at each of them in a text that repeats one."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    return WORD.findall(OPENING.sub("\0", source))


def super_linear(pattern: Pattern, methods: set[str], piece: str, length: int) -> str | None:
    """What is wrong with the time of a search for a pattern, or None."""
    short = seconds(pattern, methods, piece, length)
    if short < MIN_S:
        return None
    double = seconds(pattern, methods, piece, 2 * length) if short < LIMIT_S else LIMIT_S
    if double < min(2.8 * short, LIMIT_S):
        return None
    return f"{piece!r} x {length:,}: {short:.2f} s, twice as long: {double:.2f} s"


def seconds(pattern: Pattern, methods: set[str], piece: str, length: int) -> float:
    """Processor seconds to match a text, or to find every match in it; LIMIT_S if it takes longer."""
    text = (piece * (length // len(piece) + 1))[:length]
    subject = text if isinstance(pattern.pattern, str) else text.encode()
    start = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)  # processor time, because machines are shared
    try:
        for method in methods:
            found = getattr(pattern, method)(subject)
            if method == "finditer":
                deque(found, maxlen=0)
    except TimeoutError:
        return LIMIT_S
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return time.process_time() - start


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main()
