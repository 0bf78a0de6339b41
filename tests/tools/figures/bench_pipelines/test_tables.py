"""The report's tables."""

from bench_cases import case
from bench_pipelines.tables import round_trip_tables, step_table
from tridet_bench.table import Table


def test_tables_name_the_reference() -> None:
    (table,) = round_trip_tables([case("naive", "4K", 100.0), case("tridet auto", "4K", 5.0)])
    assert table.title == "4K, concurrency 1"
    assert table.rows[1][:4] == ("tridet auto", "5.0", "10.0", "0.05")
    text = Table("T", ("a", "b"), [("x", "1")]).markdown()
    assert text.splitlines() == ["### T", "", "| a | b |", "| --- | ---: |", "| x | 1 |"]


def test_two_text_columns_align_left_on_paper_and_in_a_terminal() -> None:
    parts = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    table = step_table([case("naive", "4K", 100.0, steps={"nms": dict.fromkeys(parts, 0.0)})])
    assert table.markdown().splitlines()[3:] == [
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| naive | nms | 0.00 | 0.00 | 0.00 | 0.00 | 0.00 |",
    ]
    assert [column.justify for column in table.rich().columns] == ["left"] * 2 + ["right"] * 5
