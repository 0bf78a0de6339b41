"""Where the page listens, and which names a browser may know it by."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from tridet.exceptions import InvalidInput

_DEFAULT_HOST = "127.0.0.1"
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on."""

    host: str
    port: int
    """0 for any that is free."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that ``:PORT`` or ``HOST:PORT`` stands for.

        Raises:
            InvalidInput: ``text`` is neither.
        """
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        # What is left when host and port are taken away must be nothing: no path, no password.
        if port is None or parts.netloc != text or "@" in text:
            raise InvalidInput(
                "expected the page's address as :PORT or HOST:PORT with a port from 0 to 65535, "
                f"got {text.rpartition('@')[2]!r}"
            )
        return cls(host or _DEFAULT_HOST, port)

    @property
    def is_wildcard(self) -> bool:
        """Whether it means every address of this machine."""
        ip = _ip(self.host)
        return ip is not None and ip.is_unspecified

    @property
    def url(self) -> str:
        """What to open in a browser on this machine."""
        host = self.host
        if self.is_wildcard:
            host = "::1" if ":" in host else _DEFAULT_HOST
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

    def listen(self) -> socket.socket:
        """Return a listening socket.

        Raises:
            InvalidInput: the port is taken, or the host is not one of this machine's.
        """
        try:
            found = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, *_, address = found[0]
            return socket.create_server((address[0], self.port), family=family, backlog=BACKLOG)
        except OSError as error:
            where = f"{self.host}:{self.port}"
            raise InvalidInput(f"cannot serve the page at {where}: {_reason(error)}") from error

    def may_be_called(self, host: str) -> bool:
        """Whether a request's Host header, without its port, can mean this server.

        A foreign site can have its own name point here (DNS rebinding) and would then read the
        pictures as its own. It cannot do so with an IP address or with a name of this machine.
        """
        if _ip(host) is not None:
            return True
        machine = socket.gethostname().lower()
        known = {"localhost", self.host.lower(), machine, f"{machine}.local"}
        return host.lower().rstrip(".") in known


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is taken; choose another, or :0 for any that is free"
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    return os.strerror(error.errno)  # create_server adds to its own what we have said already


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
