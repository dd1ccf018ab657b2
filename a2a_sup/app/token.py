"""The token by which callers over TCP may change things: from the environment, or from a file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping

from a2a_sup.errors import A2ASupError

VARIABLE = "A2A_SUP_TOKEN"
LIMIT = 64 * 2**10
"""Bytes of a token file that are read; no header can carry so many."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What ``Authorization: Bearer`` can carry (RFC 6750)."""


class BadToken(A2ASupError):
    """The token cannot be used. The message says why, and never shows it."""


def read_token(environ: Mapping[str, str], file: str | None) -> str | None:
    """Return the token of the environment, else that of ``file``; None: there is none.

    Raises:
        BadToken: it cannot be read, is empty, cannot be sent in a header, or anybody may read it.
    """
    if environ.get(VARIABLE):
        return _checked(environ[VARIABLE], VARIABLE)
    if file is None:
        return None
    try:
        # Without waiting: a pipe that nobody writes is no token, and no start that never ends.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise BadToken(f"{file}: the token cannot be read: not a regular file")
            if mode & stat.S_IROTH:
                raise BadToken(f"{file}: everybody may read the token; allowed: chmod o-r")
            return _checked(opened.read(LIMIT).decode("ascii").strip(), file)
    except OSError as error:
        raise BadToken(f"{file}: the token cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        return _checked("", file)


def _checked(token: str, place: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise BadToken(f"{place}: no token there; allowed: letters, digits and - . _ ~ + / =")
    return token
