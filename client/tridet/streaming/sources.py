"""Where frames come from, and how each source is to be treated."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import quote

from tridet.exceptions import InvalidInput
from tridet.streaming.redaction import redact
from tridet.streaming.zones import Areas

Policy: TypeAlias = Literal["latest", "all"]
RtspTransport: TypeAlias = Literal["tcp", "udp"]

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "rtp", "srt", "tcp")
_DEVICE = re.compile(r"(?:/dev/video)?(?P<index>\d+)")
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)\}")
# What these hold has an end; any other thing behind http is taken for a camera.
_VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A video file, a stream or a camera. Its ``repr`` holds no credentials."""

    location: str = field(repr=False)
    """As FFmpeg opens it: a path, a URL or a device; it may hold a password."""
    name: str
    """What results and messages call it."""
    live: bool
    """It goes on whether or not it is read, and is reconnected; else it has an end."""
    policy: Policy
    """``latest`` drops the frames that a newer one overtakes, ``all`` makes the source wait."""
    max_fps: float | None = None
    """Drop what comes faster; None drops none."""
    rtsp_transport: RtspTransport = "tcp"
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    """A live source that gives no frame for so long is connected anew."""
    stall_after_s: float = 2.0
    """One that gives no frame for so long is shown as stalled."""
    max_retries: int | None = None
    """Give a live source up after so many failed attempts in a row; None never does."""
    hwaccel: str = "none"
    """Where frames are decoded: ``none``, ``auto`` or an FFmpeg device such as ``cuda``."""
    areas: Areas = field(default_factory=Areas)
    """Zones and lines of this source alone."""

    @property
    def address(self) -> str:
        """The location without credentials."""
        return redact(self.location)

    @property
    def is_device(self) -> bool:
        """Whether it is a camera of this machine."""
        return _DEVICE.fullmatch(self.location) is not None

    @property
    def is_file(self) -> bool:
        """Whether it is a file of this machine, or a pipe; it may be live nevertheless."""
        return self.scheme is None and not self.is_device

    @property
    def paced(self) -> bool:
        """Whether it has to be held back: it is read faster than it plays, and drops frames."""
        return self.policy == "latest" and (self.is_file or not self.live)

    @property
    def scheme(self) -> str | None:
        """Of its URL, lower case; None for files and devices."""
        found = _URL.match(self.location)
        return None if found is None else found["scheme"].lower()


_Check: TypeAlias = tuple[str, Callable[[Any], bool]]


def _one_of(values: tuple[str, ...]) -> _Check:
    return " or ".join(repr(value) for value in values), lambda value: value in values


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_POSITIVE: _Check = ("a number above 0", lambda value: _is_number(value) and 0 < value < 1e6)
_CHECKS: Mapping[str, _Check] = {
    "name": (
        "a line of text without credentials",
        lambda value: (
            isinstance(value, str)
            and value.isprintable()
            and bool(value.strip())
            and redact(value) == value
        ),
    ),
    "live": ("true or false", lambda value: isinstance(value, bool)),
    "policy": _one_of(get_args(Policy)),
    "max_fps": _POSITIVE,
    "rtsp_transport": _one_of(get_args(RtspTransport)),
    "connect_timeout_s": _POSITIVE,
    "read_timeout_s": _POSITIVE,
    "stall_after_s": _POSITIVE,
    "max_retries": (
        "a whole number from 0",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    ),
    "hwaccel": (
        "'none', 'auto' or the name of a device",
        lambda value: isinstance(value, str) and value.isalnum(),
    ),
}
OPTIONS = tuple(_CHECKS)
"""What ``parse_source`` takes besides the location."""


def parse_source(location: str | int, **options: Any) -> Source:
    """Return the source at a path, a URL, ``/dev/videoN`` or N, a camera's number.

    ``${NAME}`` in the location stands for an environment variable; in the user and password of a
    URL its value is percent-encoded.

    Args:
        location: where the frames come from.
        options: fields of ``Source``; None stands for the default. A source is live unless it is a
            video file, here or behind http; the policy is ``latest`` where it is live, else
            ``all``; the name is the address without scheme and query, or the file's name.

    Raises:
        InvalidInput: an unknown option or scheme, a wrong value, a variable that is not set.
    """
    for key, value in options.items():
        if key not in _CHECKS:
            raise InvalidInput(f"{key}: unknown option, expected one of {', '.join(OPTIONS)}")
        expected, accepts = _CHECKS[key]
        if value is not None and not accepts(value):
            raise InvalidInput(f"{key}: expected {expected}, got {redact(repr(value))}")
    given = {key: value for key, value in options.items() if value is not None}
    place = _place(location)
    live = given.pop("live", _is_live(place))
    policy = given.pop("policy", "latest" if live else "all")
    name = given.pop("name", _default_name(place))
    return Source(location=place, name=name, live=live, policy=policy, **given)


def with_unique_names(sources: Iterable[Source]) -> list[Source]:
    """Number the sources that share a name: ``cam``, ``cam-2``, ``cam-3``."""
    unique: dict[str, Source] = {}
    for source in sources:
        name, number = source.name, 1
        while name in unique:
            number += 1
            name = f"{source.name}-{number}"
        unique[name] = replace(source, name=name)
    return list(unique.values())


def _place(location: str | int) -> str:
    """Return the location as FFmpeg opens it."""
    if isinstance(location, bool) or not isinstance(location, (str, int)) or location == "":
        raise InvalidInput(f"location: expected a path, a URL or a number, got {location!r}")
    place = expanded(str(location))
    if (device := _DEVICE.fullmatch(place)) is not None:
        return f"/dev/video{device['index']}"
    url = _URL.match(place)
    if url is not None and re.search(r"\s", place):
        # Not shown: where its password ends, nobody can tell.
        raise InvalidInput(
            f"{url['scheme']}://…: expected a URL without blanks, got one with; write %20 for them"
        )
    if url is not None and url["scheme"].lower() not in _SCHEMES:
        raise InvalidInput(
            f"{redact(place)}: unknown scheme {url['scheme']!r}, expected one of "
            + ", ".join(_SCHEMES)
        )
    return place


def expanded(location: str, shown: str | None = None) -> str:
    """Return the location with the values of environment variables in the place of ``${NAME}``.

    In the user and password of a URL a value is percent-encoded.

    Args:
        location: a path or a URL.
        shown: what an error calls it; by default the location without credentials.

    Raises:
        InvalidInput: a variable is not set.
    """
    url = _URL.match(location)
    authority = re.split(r"[/?#]", url["rest"], maxsplit=1)[0] if url else ""
    credentials_end = url.start("rest") + authority.rfind("@") if url else -1

    def value_of(variable: re.Match[str]) -> str:
        value = os.environ.get(variable["name"])
        if value is None:
            place = shown or redact(location)
            raise InvalidInput(
                f"{place}: expected the environment variable {variable['name']}, it is not set"
            )
        return quote(value, safe="") if variable.end() <= credentials_end else value

    return _VARIABLE.sub(value_of, location)


def _is_live(place: str) -> bool:
    url = _URL.match(place)
    if url is None:
        return _DEVICE.fullmatch(place) is not None
    path = re.split(r"[?#]", url["rest"], maxsplit=1)[0]
    return not (
        url["scheme"].lower() in ("http", "https") and path.lower().endswith(_VIDEO_SUFFIXES)
    )


def _default_name(place: str) -> str:
    url = _URL.match(redact(place))
    if url is None:
        return PurePath(place).name or place
    return re.split(r"[?#]", url["rest"], maxsplit=1)[0].rpartition("@")[2].rstrip("/")
