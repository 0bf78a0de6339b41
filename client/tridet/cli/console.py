"""Where tables are printed."""

from rich.console import Console

# Off a terminal a table is read by programs or pasted: do not fold it to 80 columns.
_WIDTH_IN_A_FILE = 200


def stdout_console() -> Console:
    """Return the console on stdout, as wide as the terminal, or wide enough for any table."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_IN_A_FILE
    return console
