"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
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


def _classes(_context: click.Context, _option: click.Parameter, text: str | None) -> Any:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [int(part) if part.isdecimal() else part for part in parts]


model_option = click.option(
    "--model",
    default="pcb",
    envvar="TRIDET_MODEL",
    show_default=True,
    show_envvar=True,
    help="Name of the detector on the server.",
)
conf_option = click.option(
    "--conf", type=click.FloatRange(0, 1), help="Drop detections below this confidence."
)
imgsz_option = click.option(
    "--imgsz",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Side of the square that an image is fitted into, one of the model's sizes.",
)

_DETECTOR = (
    model_option,
    conf_option,
    click.option("--iou", type=click.FloatRange(0, 1), help="Drop boxes that overlap by more."),
    click.option(
        "--classes",
        metavar="A,B",
        callback=_classes,
        help="Keep only these classes, by name or index.",
    ),
    click.option("--max-det", type=click.IntRange(min=1), help="Keep at most this many per image."),
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
        help="Let boxes of different classes suppress each other.",
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
