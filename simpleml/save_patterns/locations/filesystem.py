"""Filesystems of fsspec: what knows the credentials and options of a place by its own means (environment, profile, settings)."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from simpleml.errors import ConfigurationError, MissingDependencyError, StoreCredentialsError
from simpleml.settings.secret import HIDDEN, tells

_SECRET = re.compile(r"key|secret|token|pass|credential|connection|sas|auth|user", re.IGNORECASE)
_LOGIN = re.compile(r"^[A-Za-z][\w+.-]*://[^:/]*:(.*)@", re.DOTALL)  # as `masked` sees it: up to the last @
_PARAMETER = re.compile(r"[?&;#]([^=?&;#/]+)=([^&;#]+)")
_ENCODINGS = (
    partial(quote, errors="replace"),
    partial(quote, safe="", errors="replace"),
    partial(quote_plus, errors="replace"),
)
_SHORT = 3  # secrets up to this length are hidden where they stand alone: else they would take words apart


def make_filesystem(
    protocol: str, options: Mapping[str, Any], *, extra: str | None = None, module: str | None = None
) -> Any:
    """Return a filesystem of our own, which shares nothing with others of the process.

    `module` names the class, as `package.module:Class`, where fsspec would take another one for the protocol. Raises `MissingDependencyError` with the pip line of our `extra`, and `ConfigurationError` if the options are wrong.
    """
    import fsspec

    try:
        if module is None:
            return fsspec.filesystem(protocol, skip_instance_cache=True, **options)
        return pkgutil.resolve_name(module)(skip_instance_cache=True, **options)
    except ImportError as error:
        raise missing(protocol, extra, error) from error
    except (TypeError, ValueError) as error:
        raise wrong_options(protocol, options, error) from error
    except OSError as error:
        if error.filename is None:  # of the network
            raise
        raise unreadable(error, "the options of the store or by the environment") from error


def wrong_options(protocol: str, options: Mapping[str, Any], error: Exception) -> ConfigurationError:
    """Return the error that says which options there are."""
    return ConfigurationError(
        f"the options of a store at {protocol}:// are wrong: {scrubbed(str(error), options)}. They are those of fsspec's "
        "filesystem for this protocol."
    )


def unreadable(error: OSError, named_by: str, path: str = "") -> StoreCredentialsError:
    """Return the error for a file of this machine, which must not be taken for an object that is not there."""
    name = path or str(error.filename)
    shown = HIDDEN if "\n" in name else repr(name)  # a key that was given where the name of its file belongs
    return StoreCredentialsError(
        f"the file {shown} of this machine, which logging in takes, cannot be read: {error.strerror or error}. It is named by "
        f"{named_by}."
    )


def missing(protocol: str, extra: str | None, error: ImportError) -> MissingDependencyError:
    """Return the error that says how to install what speaks `protocol`."""
    line = f"pip install 'simpleml[{extra}]'" if extra else str(error)
    return MissingDependencyError(f"a store at {protocol}:// needs a package that is not installed: {line}")


def scrubbed(text: str, options: Mapping[str, Any]) -> str:
    """Return `text`, on one line and not too long, with every value that may be a credential replaced by `***`.

    Such are all values whose names tell of one, at any depth, and what is secret in those that are URLs; also where they
    stand %-encoded.
    """
    secrets = {*_secrets(options, suspect=False)} - {""}
    secrets |= {way(secret) for secret in secrets for way in _ENCODINGS}
    for secret in sorted(secrets, key=len, reverse=True):
        alone = rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])"
        text = re.sub(alone, HIDDEN, text) if len(secret) <= _SHORT else text.replace(secret, HIDDEN)
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:299] + "…"


def _secrets(value: object, *, suspect: bool) -> Iterator[str]:
    """Give every text in an option's value that may be a credential; below a name that tells of one, all are."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _secrets(each, suspect=suspect or _SECRET.search(str(name)) is not None)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _secrets(each, suspect=suspect)
    elif suspect and isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, str):
        if suspect:
            yield value
        yield from _secrets_of_url(value)
    elif suspect and isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def _secrets_of_url(url: str) -> Iterator[str]:
    login = _LOGIN.match(url)
    found = [] if login is None else [login[1]]
    found += [value for name, value in _PARAMETER.findall(url) if tells(name)]
    for each in found:
        yield from (each, unquote(each))
