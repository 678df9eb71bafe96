"""The name of a model or an encoder: a folder or a hub id. A folder is stored with its absolute path.

A relative path names another folder, or a hub id, for a process that runs elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.files import expanded


def existing_folder(name: str) -> Path | None:
    """The folder of that name, if there is one on this machine; raises InputError as `expanded` does."""
    folder = expanded(name)
    try:
        return folder if name and folder.is_dir() else None
    except OSError:  # a name that is too long, or a folder that this user may not enter
        return None


def stored_name(name: str) -> str:
    """The absolute path of an existing folder; another name as it is.

    Raises InputError if the name is a relative path, and no such folder exists.
    """
    if folder := existing_folder(name):
        return str(folder.resolve() if ".." in folder.parts else folder.absolute())
    if is_path(name) and not name.startswith("/"):
        raise InputError(f"{name} is not an existing folder: name a folder, or a hub id such as owner/name")
    return name


def is_path(name: str) -> bool:
    """Whether a name can only be a path: a hub id has no such beginning."""
    return name.startswith(("/", "./", "../", "~")) or name in (".", "..")


def missing_folder(name: str) -> str:
    """A message about a path that is no folder on this machine."""
    return (
        f"folder {name} is not on this machine: copy it there under the same path, or use a hub id such as owner/name"
    )
