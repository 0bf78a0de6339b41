"""Check a data set before a detector is trained on it."""

from .checks import Checked, check
from .output import json_text, rich_tables
from .report import check_page
from .scan import scan

__all__ = ["Checked", "check", "check_page", "json_text", "rich_tables", "scan"]
