"""Write ultralytics_samples.json: what Ultralytics' own predictor finds in the sample boards.

    python tests/server/data/ultralytics_samples.py  # in an environment with ultralytics and torch

Kept as data so that the parity test needs neither of the two.
"""

import json
from pathlib import Path

import ultralytics
from ultralytics import YOLO

ROOT = Path(__file__).resolve().parents[3]


def main() -> None:
    model = YOLO(ROOT / "models" / "pcb" / "pcb.pt")
    found = {}
    for path in sorted((ROOT / "models" / "pcb" / "samples").glob("*.jpg")):
        # rect=False: the full square, which is what a served detector of fixed size sees.
        (result,) = model.predict(
            path, imgsz=640, rect=False, conf=0.25, iou=0.7, device="cpu", verbose=False
        )
        found[path.name] = {
            "boxes": result.boxes.xyxy.tolist(),
            "scores": result.boxes.conf.tolist(),
            "class_ids": result.boxes.cls.int().tolist(),
        }
    text = json.dumps({"ultralytics": ultralytics.__version__, "found": found}, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
