"""One run, and several side by side: from the data set to the files in the output folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from tridet import Detector
from tridet.files import write_bytes
from tridet_build.datasets.dataset import Dataset
from tridet_build.datasets.truth import check_labels, model_ids

from . import report
from .assess import assess
from .errors import EvaluationError
from .mistakes import marked_images
from .results import FILE_NAME, Results
from .run import Request, predict, settings_of
from .served import steps_of
from .truth import pair

REPORT_NAME = "report.html"
PREDICTIONS_NAME = "predictions.jsonl"


def evaluate(
    detector: Detector,
    dataset: Dataset,
    split_name: str | None,
    folder: Path,
    request: Request,
    *,
    name: str,
    in_flight: int,
    progress: Callable[[int, int], None],
) -> Results:
    """Run every image of a split through the server, judge the answers and write the report.

    Args:
        detector: of the model, on the server.
        dataset: with that split; see ``Dataset.split`` for None.
        split_name: of the images.
        folder: gets the predictions, ``results.json`` and ``report.html``.
        request: how images are sent.
        name: of the run, in the report.
        in_flight: how many images are under way at a time.
        progress: called with how many images are done, and how many there are.

    Raises:
        DataError: there is no such split, its labels cannot be used, or do not go with the model.
        EvaluationError: an image or the predictions of an earlier run cannot be read.
        TridetError: the server or an image failed; what was answered so far is kept.
    """
    split = dataset.split(split_name)
    check_labels(dataset, split)
    info = detector.connect()
    ids, classes = model_ids(dataset, split, info.labels)
    thresholds = request.thresholds(info, classes)
    steps = steps_of(detector.url, info.name)
    settings = settings_of(info, steps, thresholds, request.transport)
    predictions = predict(
        detector,
        [image.path for image in split.images],
        settings,
        folder / PREDICTIONS_NAME,
        in_flight=in_flight,
        progress=progress,
    )
    pairs = [pair(i, found, ids) for i, found in zip(split.images, predictions, strict=True)]
    conf = float(info.defaults.get("conf", 0.25))
    judged = assess(pairs, info.labels, max_det=request.max_det, conf=conf, in_flight=in_flight)
    results = Results(
        name=name,
        model=info.name,
        precision=info.precision,
        build=dict(info.build),
        thresholds=thresholds,
        transport=request.transport,
        dataset=str(dataset.file),
        split=split.name,
        date=date.today().isoformat(),
        images=len(pairs),
        empty_images=sum(not len(each.class_ids) for each in pairs),
        objects=judged.judgement.truth["all"],
        map50_95=judged.map50_95,
        map50=judged.map50,
        map75=judged.map75,
        best=judged.best,
        served=judged.served,
        classes=judged.classes,
        sizes=judged.sizes,
        confusion_labels=[*info.labels, "background"],
        confusion=judged.confusion,
        latency_ms=judged.latency_ms,
    )
    page = report.run_page(results, marked_images(pairs, judged.judgement.matches, conf))
    write_bytes(folder / FILE_NAME, (results.model_dump_json(indent=1) + "\n").encode())
    write_bytes(folder / REPORT_NAME, page.encode(errors="backslashreplace"))
    return results


def compare(runs: Sequence[Results], folder: Path) -> None:
    """Write the report of several runs on the same images.

    Raises:
        EvaluationError: they are of different images, or there is but one.
    """
    if len(runs) < 2:
        raise EvaluationError(f"expected two runs or more to compare, got {len(runs)}")
    first = runs[0]
    for run in runs[1:]:
        if (run.split, run.images, run.objects) != (first.split, first.images, first.objects):
            raise EvaluationError(
                f"expected runs on the same images: {first.name} has {first.images} images and "
                f"{first.objects} objects of {first.split}, {run.name} {run.images} and "
                f"{run.objects} of {run.split}"
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / REPORT_NAME, report.compare_page(runs).encode(errors="backslashreplace"))
