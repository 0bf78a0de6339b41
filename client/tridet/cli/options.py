"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import click

from tridet.channel import TLS
from tridet.transports import TRANSPORTS


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What every command needs to talk to a server."""

    url: str
    tls: TLS | None
    timeout_s: float


class CommaList(click.ParamType):  # type: ignore[type-arg]  # generic in new releases only
    """Values with commas between them, as a list.

    Args:
        each: makes a value of its text; raises ValueError for one that is not acceptable.
        expected: what the message says then.
        skip_empty: leave out what stands empty between commas, instead of giving it to ``each``.
    """

    name = "list"

    def __init__(
        self, each: Callable[[str], Any], expected: str, *, skip_empty: bool = False
    ) -> None:
        self._each = each
        self._expected = expected
        self._skip_empty = skip_empty

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        """Return the list; a default that is no text is taken as it is."""
        if not isinstance(value, str):
            return list(value)
        values = []
        for part in (part.strip() for part in value.split(",")):
            if part or not self._skip_empty:
                try:
                    values.append(self._each(part))
                except ValueError:
                    self.fail(f"expected {self._expected}, got {part!r}", param, ctx)
        return values


def some_of(known: Collection[str]) -> CommaList:
    """Return the type of an option that takes some of the ``known`` words."""

    def word(text: str) -> str:
        if text not in known:
            raise ValueError
        return text

    return CommaList(word, f"some of {', '.join(known)}")


def positive_integers(example: str) -> CommaList:
    """Return the type of an option that takes whole numbers of 1 or more."""

    def number(text: str) -> int:
        if int(text) < 1:
            raise ValueError
        return int(text)

    return CommaList(number, f"numbers like {example}")


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that make its argument ``server``."""
    options = (
        click.option(
            "--url",
            default="localhost:8001",
            envvar="TRIDET_URL",
            show_default=True,
            show_envvar=True,
            help="host:port of Triton's gRPC endpoint.",
        ),
        click.option("--tls", is_flag=True, help="Connect with TLS."),
        click.option(
            "--tls-ca", metavar="FILE", help="Trust the root certificates in this PEM file."
        ),
        click.option("--tls-cert", metavar="FILE", help="The client's certificate chain, PEM."),
        click.option("--tls-key", metavar="FILE", help="The client's private key, PEM."),
        click.option(
            "--timeout",
            "timeout_s",
            default=10.0,
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            show_default=True,
            help="How long one image, or one question, may take.",
        ),
    )

    @functools.wraps(command)
    def with_server(
        *,
        url: str,
        tls: bool,
        tls_ca: str | None,
        tls_cert: str | None,
        tls_key: str | None,
        timeout_s: float,
        **rest: Any,
    ) -> None:
        secure = tls or tls_ca or tls_cert or tls_key
        tls_files = TLS(tls_ca, tls_cert, tls_key) if secure else None
        command(server=ServerOptions(url, tls_files, timeout_s), **rest)

    for option in reversed(options):
        with_server = option(with_server)
    return with_server


def detector_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a detector: ``model``, ``transport`` and the thresholds."""
    for option in reversed(_DETECTOR):
        command = option(command)
    return command


model_option = click.option(
    "--model",
    default="pcb",
    envvar="TRIDET_MODEL",
    show_default=True,
    show_envvar=True,
    help="Name of the detector on the server.",
)
conf_option = click.option(
    "--conf",
    type=click.FloatRange(0, 1),
    help="Drop detections below this confidence.  [default: the model's]",
)
imgsz_option = click.option(
    "--imgsz",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Side of the square that an image is fitted into, one of the model's sizes.  "
    "[default: the model's]",
)

_DETECTOR = (
    model_option,
    conf_option,
    click.option(
        "--iou",
        type=click.FloatRange(0, 1),
        help="Drop boxes that overlap by more.  [default: the model's]",
    ),
    click.option(
        "--classes",
        metavar="A,B",
        help="Keep only these classes, by name, or by index where no class is named so.  "
        "[default: all]",
    ),
    click.option(
        "--max-det",
        type=click.IntRange(min=1),
        help="Keep at most this many per image.  [default: the model's]",
    ),
    imgsz_option,
    click.option(
        "--tiles",
        metavar="COLUMNSxROWS",
        help="Look at each image in so many tiles too, which finds smaller objects.",
    ),
    click.option(
        "--overlap",
        type=float,
        metavar="SHARE",
        help="Share of a tile's side that the next tile shows too, from 0 to below 0.9; 0.2 if not "
        "given. An object should fit into it.",
    ),
    click.option(
        "--whole/--no-whole",
        default=None,
        help="Look at the whole image beside its tiles, for large objects; the default.",
    ),
    click.option(
        "--agnostic/--no-agnostic",
        default=None,
        help="Let boxes of different classes suppress each other.  [default: the model's]",
    ),
    click.option(
        "--transport",
        type=click.Choice(TRANSPORTS),
        default="auto",
        show_default=True,
        help="How images travel: resized first (fit), every pixel (raw), the file (encoded), every "
        "pixel in memory shared with a server on this machine (shm), or fit, in shared memory if "
        "there is any (auto).",
    ),
)
