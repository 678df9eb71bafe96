"""One error root; each child knows the exit code that it ends a command with."""

from __future__ import annotations


class BenchcoeError(Exception):
    """Something went wrong that one line can explain. The message says what to do about it."""

    exit_code = 1


class UsageError(BenchcoeError):
    """The command was asked for something that cannot be: a wrong name, option or combination."""

    exit_code = 2


class UnfinishedError(BenchcoeError):
    """The work was done as far as it could be, and some of its items failed."""

    exit_code = 3


class MissingError(BenchcoeError):
    """A service or a package that the command needs is not there."""

    exit_code = 4


class StoreError(BenchcoeError):
    """The result store is missing, locked, read-only or of another version."""


class StoreBusyError(StoreError):
    """Another process has been writing for longer than anybody waits; the same can be tried again."""


class StoreUnavailableError(MissingError):
    """The database does not answer, or cut the connection; the same can be tried again."""


class InputError(BenchcoeError):
    """A file that the user named cannot be read as what it should be."""
