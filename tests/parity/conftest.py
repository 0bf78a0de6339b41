"""Import Ultralytics, which replaces Pillow's ``open`` then, and put Pillow's own back."""

import contextlib

import PIL.Image

_open = PIL.Image.open
with contextlib.suppress(ImportError):
    import ultralytics  # noqa: F401
PIL.Image.open = _open
