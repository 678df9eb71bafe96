"""Log-likelihoods of answer options: all options of a question go to one expert, or none of them is answered.

Each option is a request of its own, the question with the option behind it. A router that reads whole prompts could
send two options of a question to two experts, whose log-likelihoods cannot be compared; and a client counts the tokens
of the question with one tokenizer, which must be that of every expert. So the question is looked for in the store, the
router reads the stored question, and the first decision holds for all requests with it. A prompt without a stored
question is refused, and so is a pool whose experts do not show that they have one tokenizer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.services.serving.decisions import Decision
from benchcoe_jobs.services.serving.errors import ApiError
from benchcoe_jobs.services.serving.live_router import LiveRouter, Loaded
from benchcoe_jobs.services.serving.questions import single_prompt
from benchcoe_jobs.services.serving.service import Plan, Service
from benchcoe_jobs.services.serving.upstream_client import UpstreamClient
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.session import Store

_MOST_GROUPS = 100_000
_KEY = 12
"""Characters by which the texts of questions are found in a prompt. A shorter question is not found."""

_SAMPLE = (
    "Tokenizers differ: 1,234.5 + 67 = ?\n\tdef f(x):  return x**2 % 10\nÜber naïve façades, 你好, мир, 🙂!  "
    "antidisestablishmentarianism (A) B. C: \\frac{a}{b} <s> [INST]"
)
"""A text that two tokenizers hardly divide in the same way."""


def asks_for_loglikelihoods(body: Mapping[str, Any]) -> bool:
    """Whether a request asks for the log-probabilities of its prompt."""
    return (bool(body.get("echo")) and body.get("logprobs") is not None) or body.get("prompt_logprobs") is not None


class StoredQuestions:
    """The questions of a store, by their texts."""

    def __init__(self, questions: Iterable[RouterInput]) -> None:
        self._by_key: dict[str, list[RouterInput]] = defaultdict(list)
        for question in questions:
            if len(question.text) >= _KEY:
                self._by_key[question.text[:_KEY]].append(question)

    @classmethod
    def of(cls, store: Store, benchmark_id: int) -> StoredQuestions:
        """All questions of a benchmark."""
        with store.reading() as connection:
            rows = catalog.questions_by_key(connection, benchmark_id)
            return cls(RouterInput(text, choices) for _, text, choices in rows)

    def last_in(self, prompt: str) -> RouterInput | None:
        """The stored question that begins last in a prompt, the longest one that begins there; None without one.

        It is the question of the request: worked examples stand before it, and an option behind it.
        """
        for start in range(len(prompt) - _KEY, -1, -1):
            candidates = self._by_key.get(prompt[start : start + _KEY], ())
            matches = [one for one in candidates if prompt.startswith(one.text, start)]
            if matches:
                return max(matches, key=lambda one: len(one.text))
        return None


class OptionGroups:
    """One decision for all options of a question."""

    def __init__(self, store: Store, service: Service) -> None:
        self._store = store
        self._service = service
        self._questions: dict[int, StoredQuestions] = {}
        self._groups: OrderedDict[tuple[LiveRouter, RouterInput], Decision] = OrderedDict()
        self._checked: dict[LiveRouter, tuple[Mapping[str, Any], str | None]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def plan(self, router: LiveRouter, path: str, body: Mapping[str, Any]) -> Plan:
        """The plan of a request to the name of a router. Raises ApiError (400) if it cannot be answered."""
        prompt = single_prompt(body.get("prompt"))
        async with self._one_at_a_time:  # the second option of a question finds the plan of the first
            if (why := await self._why_not_comparable(router)) is not None:
                raise ApiError(400, f"log-likelihoods of a routed name cannot be compared: {why}", "loglikelihood")
            scope = router.loaded.decider.snapshot.router.scope
            question = (await self._stored(scope.benchmark_id)).last_in(prompt)
            if question is None:
                raise ApiError(
                    400,
                    "log-likelihoods of a routed name need a question of benchmark "
                    f"{scope.benchmark!r} in the prompt, so that all of its options go "
                    "to one expert, and none was found: name an expert, or ask for generated answers",
                    "loglikelihood",
                )
            of_first = self._groups.get((router, question))
            if of_first is None:
                plan, decision = await self._service.decide(router, path, question)
                self._groups[router, question] = decision
                if len(self._groups) > _MOST_GROUPS:
                    self._groups.popitem(last=False)
        if of_first is not None:
            plan, _ = await self._service.decide(router, path, question, of_first.drawn, of_first.verdict)
        return Plan(plan.upstreams[:1], plan.attribution)  # a substitute would answer one option only

    async def tokenizer(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """What the tokenizer of the first router's experts answers. Raises ApiError (404) if they have several."""
        router = self._service.routers.first
        async with self._one_at_a_time:
            why = await self._why_not_comparable(router)
        loaded = router.loaded
        first = loaded.upstreams[loaded.decider.snapshot.eligible[0]]
        answer = None if why else await self._service.client.tokenizer(first, method, path, body)
        if answer is None:
            why = why or f"expert {first.expert!r} does not answer at /{path}"
            raise ApiError(404, f"the experts have no tokenizer in common: {why}", "no_tokenizer")
        return answer

    async def _stored(self, benchmark_id: int) -> StoredQuestions:
        if benchmark_id not in self._questions:
            self._questions[benchmark_id] = await asyncio.to_thread(StoredQuestions.of, self._store, benchmark_id)
        return self._questions[benchmark_id]

    async def _why_not_comparable(self, router: LiveRouter) -> str | None:
        """Why the experts of a router cannot be compared; None if they have one tokenizer."""
        loaded = router.loaded
        checked = self._checked.get(router)
        if checked is None or checked[0] is not loaded.upstreams:
            checked = loaded.upstreams, await _tokenizer_fault(self._service.client, loaded)
            self._checked[router] = checked
        return checked[1]


async def _tokenizer_fault(client: UpstreamClient, loaded: Loaded) -> str | None:
    names = loaded.decider.snapshot.eligible
    told = [client.tokenizer(loaded.upstreams[name], "POST", "tokenize", {"prompt": _SAMPLE}) for name in names]
    found = [(answer or {}).get("tokens") for answer in await asyncio.gather(*told)]
    if silent := [name for name, tokens in zip(names, found, strict=True) if not isinstance(tokens, list)]:
        return f"{', '.join(silent)} does not tell its tokens at /tokenize, so it may have a tokenizer of its own"
    others = [name for name, tokens in zip(names, found, strict=True) if tokens != found[0]]
    return f"{others[0]} and {names[0]} have different tokenizers" if others else None
