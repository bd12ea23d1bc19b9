"""`ftp://user@host/folder`: what fsspec makes of a server for file transfer, and what the codes of its replies mean."""

from __future__ import annotations

from simpleml.save_patterns.locations.generic import GenericTransport
from simpleml.save_patterns.locations.transport import Fault, fault_of

_FAULTS = {
    **dict.fromkeys(("530", "532", "430", "331", "332"), Fault.CREDENTIALS),
    **dict.fromkeys(("550", "553"), Fault.FORBIDDEN),  # or it is not there, which a look tells
    **dict.fromkeys(("452", "552"), Fault.FULL),
}


class FTPTransport(GenericTransport):
    """Objects as files below a folder of an FTP server, through one connection that its users share in turns."""

    workers = 1

    def fault(self, error: Exception) -> Fault:
        """Go by the code of the reply, also where fsspec takes every refusal for a file that is not there."""
        import ftplib

        cause = error.__cause__ if isinstance(error, FileNotFoundError) else error
        if not isinstance(cause, ftplib.Error):
            return fault_of(error)
        code = str(cause)[:3]
        if cause is not error and code == "550":
            return Fault.MISSING
        return _FAULTS.get(code, Fault.TRANSIENT if code.startswith("4") else Fault.OTHER)
