"""Log lines without secrets and without control characters. Standard library only."""

from __future__ import annotations

import copy
import logging

from benchcoe_jobs.characters import visible
from benchcoe_jobs.masking import masked


class SafeFormatter(logging.Formatter):
    """Masks secrets and makes control characters visible, then formats a record as another formatter does.

    It covers what libraries log, and tracebacks, which contain the messages of their exceptions. The other formatter
    may still add colours.
    """

    def __init__(self, formatter: logging.Formatter | None = None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        safe = copy.copy(record)
        safe.msg, safe.args = _clean(record.getMessage()), None
        traceback = record.exc_text or (record.exc_info and self._formatter.formatException(record.exc_info))
        safe.exc_text = _clean(traceback) if traceback else None
        safe.stack_info = record.stack_info and _clean(record.stack_info)
        return self._formatter.format(safe)


def make_safe(*loggers: logging.Logger) -> None:
    """Give every handler of some loggers a SafeFormatter, and the handler that Python uses if there is no other."""
    handlers = [handler for logger in loggers for handler in logger.handlers]
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        if not isinstance(handler.formatter, SafeFormatter):
            handler.setFormatter(SafeFormatter(handler.formatter))


def _clean(text: str) -> str:
    return visible(masked(text))
