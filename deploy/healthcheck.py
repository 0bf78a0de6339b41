"""Whether a Triton server detects: each detector is asked about a small grey picture.

    python3 healthcheck.py REPOSITORY [http://127.0.0.1:8000] [SECONDS]

Standard library only, for a container's health check. Triton's own readiness does not do: before
core #473 it goes on saying ready when the process of a Python step has died. A detector that is
overloaded is healthy. Exit status 0, or 1 and a line that says which detector fails and why.
"""

import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

_SIDE = 32
_BODY = json.dumps(
    {
        "inputs": [
            {
                "name": "IMAGE",
                "shape": [1, _SIDE, _SIDE, 3],
                "datatype": "UINT8",
                "data": [114] * (3 * _SIDE * _SIDE),
            }
        ]
    }
).encode()
# The machine's proxies are not for its own addresses.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def detectors_in(repository: Path) -> list[str]:
    """The ensembles in the repository that take a decoded image."""
    return sorted(
        config.parent.name
        for config in repository.glob("*/config.pbtxt")
        if 'platform: "ensemble"' in (text := config.read_text())
        and re.search(r'input \{\s*name: "IMAGE"', text)
    )


def fault_of(url: str, detector: str, timeout_s: float) -> str | None:
    """Why the detector does not detect; None if it does."""
    request = urllib.request.Request(f"{url}/v2/models/{detector}/infer", _BODY)
    try:
        with _open(request, timeout=timeout_s) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        reason = error.read().decode(errors="replace")
        return None if "overloaded: " in reason else f"{error.code}: {' '.join(reason.split())}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None


def main(arguments: list[str]) -> int:
    """Ask every detector."""
    repository = Path(arguments[0])
    url = arguments[1] if len(arguments) > 1 else "http://127.0.0.1:8000"
    timeout_s = float(arguments[2]) if len(arguments) > 2 else 10.0
    detectors = detectors_in(repository)
    if not detectors:
        print(f"unhealthy: expected detectors in {repository}, found none")
        return 1
    faults = [(name, fault_of(url, name, timeout_s)) for name in detectors]
    for name, fault in faults:
        if fault is not None:
            print(f"unhealthy: {name}: {fault}")
    return int(any(fault is not None for _, fault in faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
