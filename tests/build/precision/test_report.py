"""What was asked for is held against what the graph has."""

import pytest
from tridet_build.errors import PrecisionError
from tridet_build.precision import report as precision_report
from tridet_build.precision.convert import (
    PrecisionReport,
)


def report(precision: precision_report.Precision, heavy: dict[str, int]) -> PrecisionReport:
    return PrecisionReport(precision, "", "", 0, {}, heavy, {}, {}, {}, {}, {})


def test_asked_is_held_against_achieved() -> None:
    precision_report.check_achieved(report("fp16", {"float16": 9, "float32": 1}), 10)
    precision_report.check_achieved(report("int8", {"int8": 5, "float16": 5}), 10)
    with pytest.raises(PrecisionError, match=r"asked for FP16: expected at least 90% of 10 .* 8$"):
        precision_report.check_achieved(report("fp16", {"float16": 8, "float32": 2}), 10)
    with pytest.raises(PrecisionError, match=r"asked for INT8: expected at least 50% of 0 .* 0$"):
        precision_report.check_achieved(report("int8", {"float16": 3}), 0)
