"""The command line: `simpleml`, or `python -m simpleml`.

Exit codes: 0 all is well; 1 a check failed, or something could not be done (`error: …` on stderr); 2 wrong usage.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code; errors of ours are told without a traceback, unless `--traceback`."""
    from simpleml.cli.app import app
    from simpleml.cli.face import printable
    from simpleml.errors import SimpleMLError

    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may have letters that this terminal has not
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app(given, prog_name="simpleml")
        finally:
            sys.stdout.flush()  # what cannot be printed is told here, and not when the interpreter ends
    except (SimpleMLError, OSError) as error:
        if "--traceback" in given:
            raise
        print(f"error: {printable(str(error))}", file=sys.stderr)
        _give_up_output()
    sys.exit(1)


def _give_up_output() -> None:
    """Let what is still to be printed go nowhere, if nobody takes it: the interpreter would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
