"""Log lines: formats and colours of other formatters stay, control characters do not."""

from __future__ import annotations

import io
import logging

from benchcoe_jobs.safe_logging import SafeFormatter, make_safe
from benchcoe_jobs.workers import process


class Coloured(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"\x1b[31m{super().format(record)}\x1b[0m"


def logger_to(stream: io.StringIO, formatter: logging.Formatter) -> logging.Logger:
    logger = logging.Logger("test")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    return logger


def test_the_format_and_the_colours_of_the_other_formatter_stay() -> None:
    out = io.StringIO()
    logger = logger_to(out, Coloured("%(levelname)s: %(message)s"))
    make_safe(logger)
    make_safe(logger)  # once is enough
    logger.warning("expert %s failed", "\x1b]0;title\x07")
    assert out.getvalue() == "\x1b[31mWARNING: expert \\x1b]0;title\\x07 failed\x1b[0m\n"


def test_a_traceback_keeps_its_lines() -> None:
    out = io.StringIO()
    logger = logger_to(out, logging.Formatter("%(message)s"))
    make_safe(logger)
    try:
        raise ValueError("\x1b[2J password=hunter2")
    except ValueError:
        logger.exception("failed")
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["failed", "Traceback (most recent call last):"]
    assert lines[-1] == "ValueError: \\x1b[2J password=***"


def test_the_record_is_not_changed() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%s", ("\x1b",), None)
    assert SafeFormatter().format(record) == "\\x1b"
    assert (record.msg, record.args) == ("%s", ("\x1b",))


def test_workers_log_safely() -> None:
    out = io.StringIO()
    logger = logger_to(out, logging.Formatter("%(message)s"))
    process._make_log_safe(logger=logger, loglevel=20)
    logger.error("\x9b2J")
    assert out.getvalue() == "\\x9b2J\n"
