"""The endpoints of experts, and the command that starts one for an expert without."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.engines.endpoints.endpoint import api_key
from benchcoe_jobs.errors import MissingError
from benchcoe_jobs.services.backends import known_backends
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow

_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where an expert answers: `url` ends before `/chat/completions`, and `model` is its name there.

    `timeout_s` bounds the wait for an answer, and for the next part of a stream. Prices are those of `ExpertRow`.
    """

    expert: str
    expert_id: int
    url: str
    model: str
    key: str = field(repr=False)
    timeout_s: float
    cost: float | None
    price_in: float | None
    price_out: float | None
    price_gpu_second: float | None

    def cost_of(self, prompt_tokens: int | None, completion_tokens: int | None, seconds: float) -> float | None:
        """The cost of an answer: its tokens by their prices, its seconds by theirs, or the expert's cost of a query."""
        counted = ((prompt_tokens, self.price_in), (completion_tokens, self.price_out))
        priced = [(tokens, price) for tokens, price in counted if price is not None]
        if priced and all(tokens is not None for tokens, _ in priced):
            return sum((tokens or 0) * price / 1e6 for tokens, price in priced)
        return self.cost if self.price_gpu_second is None else seconds * self.price_gpu_second


def find_upstreams(
    connection: Connection, endpoints: Mapping[str, Any], needed: Collection[str]
) -> dict[str, Upstream]:
    """Expert name -> its endpoint, for all experts that have one, and its key, and are not retired.

    `endpoints` is the content of the file of --endpoints. Raises InputError for a wrong entry, UsageError for a stored
    address that cannot be used, MissingError if the variable with the key of one of the `needed` experts is not set.
    """
    retired = {row["expert"] for row in experts.experts(connection) if row["retired"]}
    names = [name for name in experts.expert_ids(connection) if name not in retired]
    found = {}
    for name, backend in known_backends(connection, names, endpoints).items():
        expert_id, row = experts.read_expert(connection, name)
        try:
            key = api_key(backend.key_env)
        except MissingError:
            if name in needed:
                raise
            continue
        found[name] = Upstream(
            expert=name,
            expert_id=expert_id,
            url=backend.url.rstrip("/"),
            model=backend.model,
            key=key,
            timeout_s=float(row.settings.get("timeout_s", _TIMEOUT_S)),
            cost=row.cost,
            price_in=row.price_in,
            price_out=row.price_out,
            price_gpu_second=row.price_gpu_second,
        )
    return found


def vllm_command(expert: ExpertRow, port: int) -> str:
    """The command line that serves an expert with vLLM as it was profiled; a comment if its model is not known.

    Source: the options of `vllm serve` in vLLM 0.32.
    """
    if not expert.model:
        return f"# {expert.name}: its results were imported, and its model is not known"
    settings = expert.settings
    words = ["vllm", "serve", expert.model, "--port", str(port)]
    options = {
        "--revision": expert.revision,
        "--dtype": settings.get("dtype"),
        "--max-model-len": settings.get("max_model_len"),
        "--tensor-parallel-size": settings.get("tensor_parallel"),
    }
    words += [word for option, value in options.items() if value is not None for word in (option, str(value))]
    words += ["--trust-remote-code"] * bool(settings.get("trust_remote_code"))
    return shlex.join(words)
