"""The one format of a moment, wherever the client writes one."""

from datetime import datetime, timezone


def utc_text(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, to the millisecond.

    >>> utc_text(0)
    '1970-01-01T00:00:00.000Z'
    """
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
