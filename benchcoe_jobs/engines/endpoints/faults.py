"""Which failures of requests are those of the account or the endpoint, and which are of one request alone.

A gateway refuses a single prompt with the same status as a wrong key (403 for a flagged prompt, 404 for a model without
some feature), and a single prompt may crash a server. The requests beside it decide, or else a small request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeGuard

from benchcoe_jobs.domain import Completion
from benchcoe_jobs.engines.errors import (
    FINAL,
    AnswerTimeoutError,
    EndpointDownError,
    EngineError,
)

_MOST_TIMEOUTS = 4
"""Requests that time out one after the other, and nothing else: then the next would be charged for in vain."""


class EndpointFaults:
    """The failures of one endpoint, micro-batch after micro-batch."""

    def __init__(self) -> None:
        self._n_timeouts = 0

    @staticmethod
    def is_doubtful(outcome: Completion | EngineError) -> TypeGuard[EngineError]:
        """Whether an outcome may be a failure of the account or the endpoint."""
        return isinstance(outcome, (*FINAL, AnswerTimeoutError))

    async def cause(
        self, outcomes: Sequence[Completion | EngineError], probe: Callable[[], Awaitable[None]]
    ) -> EngineError | None:
        """The fault of the account or the endpoint behind the outcomes of a micro-batch; None if there is none.

        `probe` sends a small request that the endpoint has answered before.
        """
        doubtful = [outcome for outcome in outcomes if self.is_doubtful(outcome)]
        if len(doubtful) < len(outcomes):
            self._n_timeouts = 0
            # An outage, a refused key or an empty account may have begun in the middle of the micro-batch.
            if not any(isinstance(one, EndpointDownError) or one.status in {401, 402} for one in doubtful):
                return None
        elif all(isinstance(one, AnswerTimeoutError) for one in doubtful):
            self._n_timeouts += len(doubtful)
            if self._n_timeouts < _MOST_TIMEOUTS:
                return None
            return EndpointDownError(f"{self._n_timeouts} requests in a row were not answered: {doubtful[-1]}")
        try:
            await probe()
        except FINAL as error:
            return error
        except EngineError:  # a refusal of the small request: the endpoint is there, and knows the key
            return None
        return None
