"""HellaSwag and WinoGrande in the generative form: the prompt lists the options, and the response names one by number.

So the published scripts of Bench-CoE ask (arXiv 2412.04167; eval_hellaswag_vllm_query.py and
eval_winogrand_vllm_query.py), and so an endpoint without log-likelihoods can be asked. The scores are not comparable
with those of log-likelihoods, so each is a benchmark of its own, with the same queries.
"""

from __future__ import annotations

import re

from benchcoe_jobs.benchmarks.base import LETTERS, NO_ANSWER, Shots
from benchcoe_jobs.benchmarks.hellaswag import HellaSwag
from benchcoe_jobs.benchmarks.winogrande import WinoGrande
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer

_DECODING = Decoding(max_new_tokens=2048, stop=("Q:",))
_ANSWER = re.compile(r"answer is:? (?:option )?\(?([1-9])\)?")


class HellaSwagGenerative(HellaSwag):
    """HellaSwag: the number of an ending. The queries are those of `hellaswag`."""

    name = "hellaswag-generative"
    template = "zero-shot, number of an ending, 1"
    decoding = _DECODING

    def request(self, query: Query, shots: Shots) -> Request:
        """The prompt of the script, with the context and the endings as they are in the query: without markup."""
        context = query.text.removeprefix(f"{query.subject}: ")
        return Request(
            "Based on the context provided below, choose the index of the most plausible ending for the activity.\n"
            f"Activity: {query.subject}\nContext: {context}\n{_options(query.choices)}\nAnswer: "
        )

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """The number at the start of the response, as in the script, or else the first "answer is N".

        The script ends with an error at another start. The rule ends with "of a longer number" if digits follow.
        """
        number, rule = _at_start(text)
        if number is None:
            number, rule = _stated(text)
        if number is None or number > len(query.choices):
            return NO_ANSWER
        letter = LETTERS[number - 1]
        return ScoredAnswer(float(letter == query.answer), str(number), rule)


class WinoGrandeGenerative(WinoGrande):
    """WinoGrande: the number of an option. The queries are those of `winogrande`."""

    name = "winogrande-generative"
    template = "zero-shot, number of an option, 1"
    decoding = _DECODING

    def request(self, query: Query, shots: Shots) -> Request:
        """The prompt of the script."""
        return Request(
            "Based on the sentence below, select the most suitable word to complete the sentence meaningfully.\n"
            f"Sentence: {query.text}\n{_options(query.choices)}\n"
            "Please choose the option (1 or 2) that best completes the sentence in a meaningful way. finish your "
            "answer with 'the answer is X' where X is the correct option's index."
        )

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """The first "answer is N", or else, if no answer is announced, the number at the start of the response.

        "answer is option N" counts, which the script looks for and cannot reach.
        """
        number, rule = _stated(text)
        if number is None and "answer is " not in text:
            number, rule = _at_start(text)
        if number is None or number > len(query.choices):
            return NO_ANSWER
        return ScoredAnswer(float(str(number) == query.answer), str(number), rule)


def _options(choices: tuple[str, ...]) -> str:
    listed = "\n".join(f"{number}. {choice}" for number, choice in enumerate(choices, 1))
    return f"Options: \n{listed}"


def _at_start(text: str) -> tuple[int | None, str]:
    """The digit at the start of a response after blanks, and the rule."""
    start = text[:200].lstrip()[:2]
    if not start[:1].isascii() or not start[:1].isdecimal() or start[0] == "0":
        return None, "none"
    return int(start[0]), "at the start, of a longer number" if start[1:].isdecimal() else "at the start"


def _stated(text: str) -> tuple[int | None, str]:
    found = _ANSWER.search(text)
    return (int(found[1]), "answer is") if found else (None, "none")
