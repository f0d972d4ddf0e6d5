"""API keys: lines of a file or of the environment in, names and digests out. The keys themselves are not kept in memory."""

import hashlib
import hmac
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llava_graph.errors import InputError
from serve.http.tokens import is_loopback

log = logging.getLogger(__name__)

KEYS_VARIABLE = "LLAVA_GRAPH_API_KEYS"
MIN_KEY_CHARS = 16
"""A shorter key can be guessed; `openssl rand -hex 24` writes 48."""


@dataclass(frozen=True)
class ApiKey:
    """Whose key it is, and its SHA-256."""

    name: str
    digest: bytes


def read_keys(lines: Iterable[str], where: str) -> tuple[ApiKey, ...]:
    """Keys from lines `name:key` or `name:sha256:HEX`; empty lines and those that begin with # are passed over.

    Raises InputError that names the line, never the key.
    """
    keys: list[ApiKey] = []
    for number, line in enumerate(lines, 1):
        if not (text := line.strip()) or text.startswith("#"):
            continue
        name, colon, key = text.partition(":")
        place = f"{where}:{number}"
        if not colon or not re.fullmatch(r"[\w.@-]{1,64}", name):
            raise InputError(
                "a key is written name:key", where=place, next_step="The name is letters, digits and . _ @ -"
            )
        if name.lower() == "sha256":
            # The digest would count as the key itself, and a digest is not kept as secret as a key.
            raise InputError("a digest without a name", where=place, next_step="Write name:sha256:HEX")
        keys.append(ApiKey(name, _digest(key.strip(), place)))
    for kind in ("name", "digest"):
        if len({getattr(key, kind) for key in keys}) < len(keys):
            raise InputError(f"two keys have the same {'value' if kind == 'digest' else kind}", where=where)
    return tuple(keys)


def _digest(key: str, where: str) -> bytes:
    if found := re.fullmatch(r"sha256:([0-9a-fA-F]{64})", key):
        return bytes.fromhex(found[1])
    if len(key) < MIN_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(
            f"a key has at least {MIN_KEY_CHARS} letters, digits or signs, and no spaces",
            where=where,
            next_step="Make one: openssl rand -hex 24",
        )
    return hashlib.sha256(key.encode()).digest()


def configured_keys(file: Path | None) -> tuple[ApiKey, ...]:
    """The keys of `file` and of LLAVA_GRAPH_API_KEYS (separated by commas, with or without a name). Raises InputError.

    An empty variable is one that is not set, as shells and container files write it; one without a key in it is a mistake.
    """
    keys: tuple[ApiKey, ...] = ()
    if file:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeError) as error:
            # What was given may be a key, as FastChat's --api-keys takes it: it is not repeated.
            raise InputError(
                "--api-keys takes a file with one name:key a line, and that file cannot be read",
                next_step=f"Keys do not stand on a command line, where everybody sees them: use a file or {KEYS_VARIABLE}",
            ) from error
        keys = read_keys(lines, file.name)
        if not keys:
            raise InputError("there is no key in the file", where=file.name)
    written = os.environ.get(KEYS_VARIABLE, "")
    listed = [text.strip() for text in written.split(",") if text.strip()]
    if written and not listed:
        raise InputError(
            "there is no key in the variable", where=KEYS_VARIABLE, next_step="Set it to name:key, or unset it"
        )
    named = [text if re.match(r"[^:]+:", text) else f"key{number}:{text}" for number, text in enumerate(listed, 1)]
    return (*keys, *read_keys(named, KEYS_VARIABLE))


def caller(authorization: str, keys: tuple[ApiKey, ...]) -> ApiKey | None:
    """Whose key an `Authorization: Bearer …` header carries. Every key is compared, each in constant time."""
    scheme, _, key = authorization.partition(" ")
    given = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
    matching = [known for known in keys if hmac.compare_digest(known.digest, given)]
    return matching[0] if matching and scheme.lower() == "bearer" else None


def keys_for(host: str, keys: tuple[ApiKey, ...], *, anonymous: bool = False) -> tuple[ApiKey, ...] | None:
    """The keys to ask for on `host`; None: anybody may call.

    Raises InputError for a server that other machines can reach and that has no keys, unless that is wanted (`anonymous`).
    """
    if keys and anonymous:
        raise InputError(
            "--allow-anonymous asks for no key, and there are keys", next_step="Leave out the one or the other"
        )
    if not keys and not anonymous and not is_loopback(host):
        raise InputError(
            f"an API on {host} can be reached from other machines, and then it asks for a key",
            next_step=f"Set {KEYS_VARIABLE}, use --api-keys FILE, or say --allow-anonymous",
        )
    return keys or None


def keys_beside_page(host: str, file: Path | None, *, anonymous: bool = False) -> tuple[ApiKey, ...] | None:
    """The same for an API that comes with the page: without keys the page is there, and nobody gets into the API."""
    keys = configured_keys(file)
    if keys or anonymous or is_loopback(host):
        return keys_for(host, keys, anonymous=anonymous)
    log.warning("the API beside the page answers nobody: set %s or use --api-keys", KEYS_VARIABLE)
    return ()
