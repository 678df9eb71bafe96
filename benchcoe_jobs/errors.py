"""The base class of all errors, and subclasses with the exit codes of commands."""

from __future__ import annotations


class BenchcoeError(Exception):
    """An error with a message of one line, which says what happened and what to do."""

    exit_code = 1


class UsageError(BenchcoeError):
    """The request is invalid: an unknown name, a wrong option, or a combination that is not allowed."""

    exit_code = 2


class UnfinishedError(BenchcoeError):
    """The work is done, but some of its items failed."""

    exit_code = 3


class MissingError(BenchcoeError):
    """A service or a package that the command needs is missing."""

    exit_code = 4


class StoreError(BenchcoeError):
    """The result store is missing, locked, read-only or of another version."""


class StoreBusyError(StoreError):
    """Another process kept the store locked for too long; the operation can be retried."""


class StoreUnavailableError(MissingError):
    """The database does not answer, or closed the connection; the operation can be retried."""


class InputError(BenchcoeError):
    """A file that the user named is missing or has the wrong format."""
