"""What an alert sets off: a POST to a webhook, or a command."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from http.client import HTTPException
from typing import Protocol
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tridet.exceptions import InvalidInput, SinkFailed

# A response or a command that takes longer holds up the alerts behind it.
_TIMEOUT_S = 10.0


class Action(Protocol):
    """Carries one alert out of the program."""

    @property
    def name(self) -> str:
        """As the user knows it, without credentials."""

    def run(self, content: bytes) -> None:
        """Deliver one alert, a JSON object.

        Raises:
            SinkFailed: it was not taken; the message is the reason alone.
        """


class _StayHere(HTTPRedirectHandler):
    """Follows no redirect: it would carry the secret to another host, and leave the alert behind,
    as a POST becomes a GET."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


_OPENER = build_opener(_StayHere)


class Webhook:
    """Posts alerts to a URL; a user and password in it become basic authentication.

    Args:
        url: ``http://`` or ``https://``.
        timeout_s: for the connection, and for each part of the response.

    Raises:
        InvalidInput: it is not such a URL.
    """

    def __init__(self, url: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        if parts.scheme not in ("http", "https") or not host:
            # Not shown: webhooks carry their secret in the path.
            raise InvalidInput("--webhook: expected http://HOST/... or https://HOST/..., got other")
        host = f"[{host}]" if ":" in host else host
        address = host if port is None else f"{host}:{port}"
        self.name = f"--webhook {parts.scheme}://{address}/..."
        self._url = parts._replace(netloc=address, fragment="").geturl()
        self._headers = {"Content-Type": "application/json", "User-Agent": "tridet"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
        self._timeout_s = timeout_s

    def run(self, content: bytes) -> None:
        """Post ``content``; see ``Action``."""
        request = Request(self._url, content, self._headers, method="POST")
        try:
            with _OPENER.open(request, timeout=self._timeout_s):
                pass
        except HTTPError as error:
            error.close()
            what = ", a redirect, which is not followed" if 300 <= error.code < 400 else ""
            raise SinkFailed(f"expected status 2xx, got {error.code}{what}") from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            reason = getattr(reason, "strerror", None) or reason
            raise SinkFailed(f"{reason or type(error).__name__}") from None


class Command:
    """Runs a command for each alert, without a shell; the alert is its standard input.

    Args:
        command: split as a shell would, but nothing in it is expanded.
        timeout_s: after which it is killed, with all that it started.

    Raises:
        InvalidInput: it cannot be split, or there is no such program.
    """

    def __init__(self, command: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise InvalidInput(f"--exec: expected a command, got {command!r}: {error}") from None
        if not self._arguments:
            raise InvalidInput("--exec: expected a command, got none")
        program = self._arguments[0]
        if shutil.which(program) is None:
            raise InvalidInput(f"--exec: expected a program that can be run, got {program!r}")
        self.name = f"--exec {program}"
        self._timeout_s = timeout_s

    def run(self, content: bytes) -> None:
        """Run the command with ``content`` as its input; see ``Action``."""
        # Files and not pipes: a background job of the command would keep a pipe open.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as complaint:
            given.write(content)
            given.seek(0)
            try:
                process = subprocess.Popen(
                    self._arguments,
                    stdin=given,
                    stdout=subprocess.DEVNULL,  # ours may carry --jsonl
                    stderr=complaint,
                    start_new_session=True,
                )
            except OSError as error:
                raise SinkFailed(f"{error.strerror}") from None
            try:
                status = process.wait(self._timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise SinkFailed(f"expected an end within {self._timeout_s:g} s") from None
            if status != 0:
                complaint.seek(0)
                lines = complaint.read().decode(errors="replace").strip().splitlines()
                last = f": {lines[-1][:200]}" if lines else ""
                raise SinkFailed(f"expected exit status 0, got {status}{last}")
