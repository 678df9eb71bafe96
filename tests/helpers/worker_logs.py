"""What the log of a worker may say."""

from __future__ import annotations

from collections.abc import Iterator

CHILD_KILLED = ("billiard.exceptions.WorkerLostError", "billiard.einfo.ExceptionWithTraceback")
"""The exceptions with which Celery logs that a child process was killed."""


def unexpected(log: str) -> Iterator[str]:
    """Lines that say "unexpected", and the exceptions of tracebacks, except Celery's on the killed process."""
    in_traceback = False
    for line in log.splitlines():
        if in_traceback and line and not line.startswith((" ", "Traceback")):
            in_traceback = False
            if not line.startswith(CHILD_KILLED):
                yield line
        elif "Traceback (most recent" in line:
            in_traceback = True
        elif "unexpected " in line:
            yield line
