"""The command line ``tridet-build``."""

# First of all, so that Ctrl-C while the rest is imported is no traceback.
from tridet import ctrl_c as _ctrl_c  # noqa: F401
