"""Decoding on a device, where FFmpeg offers it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tridet.exceptions import InvalidInput

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel


def accelerator(wish: str) -> HWAccel | None:
    """Return what decodes: None stands for the CPU, as does a codec that the device lacks.

    Args:
        wish: ``none``, ``auto`` (the first device that works, else the CPU) or a device's name.

    Raises:
        InvalidInput: a named device is not one of FFmpeg's, or does not work on this machine.
    """
    from av.codec.hwaccel import HWAccel, hwdevices_available

    if wish == "none":
        return None
    offered = hwdevices_available()
    working = [name for name in (offered if wish == "auto" else [wish]) if _works(name)]
    if working:
        return HWAccel(working[0], allow_software_fallback=True)
    if wish == "auto":
        return None
    raise InvalidInput(
        f"hwaccel: expected a device that decodes on this machine, got {wish!r}; FFmpeg knows "
        f"{', '.join(offered) or 'none'} here; 'auto' falls back to the CPU"
    )


@functools.cache
def _works(name: str) -> bool:
    """Whether the device can be opened; asked once, opening it takes a while."""
    import av
    from av.codec.hwaccel import HWAccel

    try:
        HWAccel(name).create(av.Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError, ValueError, KeyError):
        return False
    return True
