"""The number of examples of property tests: few in the suite, many in a long run."""

from __future__ import annotations

import os

IS_LONG_RUN = "BENCHCOE_FUZZ_EXAMPLES" in os.environ


def examples(in_the_suite: int) -> int:
    """BENCHCOE_FUZZ_EXAMPLES, or in the suite the number that finds the usual mistakes."""
    return int(os.environ.get("BENCHCOE_FUZZ_EXAMPLES", in_the_suite))
