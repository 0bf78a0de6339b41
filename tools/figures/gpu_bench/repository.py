"""The repository that is measured: as tridet_build renders it, with a stand-in detector."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from tridet_build.manifest.manifest import Batch, Instances, Manifest, ServingLimits
from tridet_build.repository import configs
from tridet_build.repository.render import render

BATCHES = (1, 2, 4, 8, 16, 32)
_HERE = Path(__file__).parent / "server_models"
_SIBLINGS = ("standin_network.py", "standin_pinned.py")
_IN_FLIGHT = 512


@dataclass(frozen=True, slots=True)
class Setup:
    """How many copies of each step run, and what the stand-in runs on."""

    preprocess: int
    detector: int
    nms: int
    device: str
    max_batch: int = BATCHES[-1]
    gpus: int = 1
    """Over which the detector's instances are spread in turn."""

    @property
    def label(self) -> str:
        """As tables call it: instances of preprocess, detector and NMS."""
        return f"{self.preprocess}/{self.detector}/{self.nms}"


def detector_folder(root: Path, name: str) -> Path:
    """The version folder of the stand-in."""
    return root / configs.detector_name(name) / "1"


def write_repository(manifest: Manifest, setup: Setup, trunk: Path, root: Path) -> None:
    """Write the repository under ``root``, an empty folder."""
    manifest = replace(
        manifest,
        batch=Batch(opt=setup.max_batch, max=setup.max_batch, delay_us=0),
        instances=Instances(preprocess=setup.preprocess, detector=setup.detector, nms=setup.nms),
        limits=ServingLimits(max_in_flight=_IN_FLIGHT),
    )
    config = configs.detector_config(manifest, "python")
    batches = [size for size in BATCHES if size <= setup.max_batch]
    for key, value in {
        "device": setup.device,
        "gpus": str(setup.gpus),
        "batches": json.dumps(batches),
    }.items():
        config.parameters[key].string_value = value
    step = config.name
    files = {
        **render([manifest]),
        f"{step}/configs/python.pbtxt": configs.to_text(config).encode(),
        f"{step}/1/model.py": (_HERE / "standin.py").read_bytes(),
        **{f"{step}/1/{name}": (_HERE / name).read_bytes() for name in _SIBLINGS},
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    shutil.copyfile(trunk, detector_folder(root, manifest.name) / "trunk.pt")
