"""Text in columns."""

from tridet.cli.columns import in_columns


def test_columns_are_as_wide_as_their_longest_text():
    rows = [["model", "state", "requests"], ["nms", "READY", "7"], ["pcb", "", "12345"]]
    assert in_columns(rows, left=(0, 1)).splitlines() == [
        "model  state  requests",
        "nms    READY         7",
        "pcb              12345",
    ]
