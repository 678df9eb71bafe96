"""Mask secrets in texts, before the texts are cut, stored or shown. Standard library only.

Two rules apply together. Secrets that this process knows are masked wherever they occur: the passwords of its settings,
the keys of endpoints, and environment variables whose names say that they hold a secret. Shapes that usually hold a
secret are masked whether or not the secret is known: passwords in URLs, `password=...`, `Authorization: ...`.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
SHORTEST = 4
"""Shorter secrets are masked only in the usual shapes: as a part of words they would make every text unreadable."""

# A variable with such a name may hold "true" or "none". PWD is no password.
_SHORTEST_OF_ENVIRONMENT = 6
_WORKING_FOLDERS = ("PWD", "OLDPWD")

_known: set[str] = set()

_SECRET_NAME = re.compile(
    r"pass(?:word|wd|phrase|code)|(?:^|[_-])(?:pwd|pass)$|secret|(?:^|[_-])token$|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|(?:client|server)_key$|(?:^|[_-])key$|credential|authorization|auth[_-]?token",
    re.IGNORECASE,
)
# Repetitions are bounded where a match may begin at every character: a text from a server may be long.
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,30}://)([^\s\"'`<>]+)")
_OPTION = re.compile(r"([?&;])([^?&;=]+)=([^&;]*)")
_OPTION_IN_TEXT = re.compile(r"([?&;])([^\s?&;=]+)=([^\s&;\"'<>]*)")
_WITHOUT_USERS = ("http", "redis", "rediss", "sentinel", "sentinels", "valkey", "valkeys")

_NAME = (
    r"[\w.-]*(?:passw(?:or)?d|passphrase|passcode|secret|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
    r"|scram_(?:client|server)_key|(?:\w*[_-])?(?:pwd|token)"
)
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_BARE = r"[^\s,;&)\]}\"']+"
# name=value, "name": value, name: "value" and name:value. Not "the password: it ...", which is prose.
_ASSIGNMENT = re.compile(
    rf"(?<![\w.-])((?:{_NAME})[\"']?\s*=\s*|(?:{_NAME})[\"']\s*:\s*|(?:{_NAME}):(?!//)(?=\s*[\"']|\S)\s*)"
    rf"({_QUOTED}|{_BARE})",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token)\s+)?)([^\s\"',;]+)", re.IGNORECASE)
_BEARER = re.compile(r"(bearer\s+)(?=\S*[\d_.-])([^\s\"',;]{8,})", re.IGNORECASE)
_KEY = re.compile(r"\b((?:sk|pk|rk|hf|gh[pousr]|xox[abpr]|glpat)[-_])(?=[\w-]{0,100}\d)[\w-]{16,}")


def remember(*secrets: str | None) -> None:
    """Mask these secrets from now on, in every text of this process. Empty and very short ones are ignored."""
    _known.update(secret for secret in secrets if secret and len(secret) >= SHORTEST)


def names_secret(name: str) -> bool:
    """Whether the name of an option or of a variable says that its value is a secret."""
    return _SECRET_NAME.search(unquote(name).strip()) is not None


def secrets_in_url(url: str) -> Iterator[str]:
    """The secrets in a URL, as written and decoded: its password, and options such as `?password=`.

    A password that is also the name of the user, the host or the database is left out, because messages show these.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme.startswith("sqlite"):
        return
    userinfo, has_user, tail = rest.rpartition("@")
    user, has_password, password = userinfo.partition(":")
    shown = {unquote(user), *re.split(r"[/?#:&=,]", tail)}
    secrets = [password] if has_password else [userinfo] if has_user and _has_no_users(scheme) else []
    for option in re.split(r"[?&;]", tail):
        name, _, value = option.partition("=")
        if names_secret(name):
            secrets.append(value)
            shown.discard(value)
    for secret in secrets:
        yield from {secret, unquote(secret), unquote_plus(secret)} - shown


def masked_url(url: str) -> str:
    """A URL without its secrets, whether or not it is well-formed."""
    scheme, found, rest = url.partition("://")
    return _masked_options(scheme + found + _without_password(scheme, rest), _OPTION) if found else _masked_shapes(url)


def masked(text: str) -> str:
    """The text without the secrets that this process knows, and without what has the shape of a secret."""
    if forms := {form for secret in {*_known, *_of_environment()} for form in _forms(secret)}:
        longest_first = sorted(forms, key=len, reverse=True)  # a secret may be a part of another one
        text = re.sub("|".join(map(_pattern, longest_first)), MASK, text)
    return _masked_shapes(text)


def _masked_shapes(text: str) -> str:
    text = _URL.sub(lambda found: found[1] + _without_password(found[1][:-3], found[2]), text)
    text = _masked_options(text, _OPTION_IN_TEXT)
    text = _HEADER.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _KEY.sub(rf"\1{MASK}", text)
    return _ASSIGNMENT.sub(lambda found: found[1] + _quoted_mask(found[2]), text)


def _masked_options(text: str, pattern: re.Pattern[str]) -> str:
    def mask(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}={MASK}" if names_secret(found[2]) else found[0]

    return pattern.sub(mask, text)


def _without_password(scheme: str, rest: str) -> str:
    """What follows `://`, with its password masked. The last @ ends it, because passwords may contain @ unescaped."""
    userinfo, found, tail = rest.rpartition("@")
    first = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not found or not ("@" in first or ":" in first):  # an @ in a path
        return rest
    user, has_password, _ = userinfo.partition(":")
    if has_password:
        return f"{user}:{MASK}@{tail}"
    return f"{MASK}@{tail}" if _has_no_users(scheme) else rest


def _has_no_users(scheme: str) -> bool:
    """Whether what stands before the @ is a token, if it has no colon."""
    return scheme.lower().startswith(_WITHOUT_USERS)


def _quoted_mask(value: str) -> str:
    quotes = value[0] if value[0] in "\"'" else ""
    return f"{quotes}{MASK}{quotes}"


def _forms(secret: str) -> set[str]:
    """A secret as libraries and servers repeat it: as it is, and escaped for URLs, JSON, Python and HTML."""
    as_json = json.dumps(secret)[1:-1]
    escaped = {as_json, json.dumps(as_json)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    escaped.add(repr(f"'\"{secret}")[4:-1])  # inside a text with both quotes, where Python escapes one of them
    return {secret, html.escape(secret), *escaped, quote(secret, safe=""), quote(secret), quote_plus(secret)}


def _pattern(form: str) -> str:
    """A regular expression for a form of a secret: %2f is %2F."""
    return re.sub("%[0-9A-F]{2}", r"(?i:\g<0>)", re.escape(form))


def _of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if "://" in value:
            yield from (secret for secret in secrets_in_url(value) if len(secret) >= SHORTEST)
        elif names_secret(name) and name not in _WORKING_FOLDERS and len(value.strip()) >= _SHORTEST_OF_ENVIRONMENT:
            yield value.strip()


def first_line(error: Exception) -> str:
    """The message of an exception in one line of at most 500 characters, without the heading line of pydantic.

    Secrets are masked before the text is cut, because a part of a secret would not be recognised.
    """
    lines = [line.strip() for line in masked(str(error)).splitlines() if line.strip()]
    if len(lines) > 1 and "validation error" in lines[0]:
        del lines[0]
    return (lines[0] if lines else type(error).__name__)[:500].rstrip(".")
