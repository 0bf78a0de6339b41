"""The package Ultralytics, played."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from stub_onnx import write_sampling_stub, write_stub


class FakeUltralytics(ModuleType):
    """Says what a checkpoint holds, and "exports" a stub as ``dynamic=True`` does."""

    def __init__(self, **stub: Any) -> None:
        super().__init__("ultralytics")
        self.stub: dict[str, Any] = {"dynamic_size": True, **stub}
        self.task = "detect"
        self.loaded: list[str] = []
        self.samples = False
        self.asked: dict[str, Any] = {}
        self.callbacks: list[str] = []
        self.load_error: Exception | None = None
        self.export_error: BaseException | None = None
        self.YOLO = self._yolo

    def _yolo(self, source: str) -> SimpleNamespace:
        self.loaded.append(source)
        if self.load_error:
            raise self.load_error
        model = SimpleNamespace(pt_path=source)

        def export(**asked: Any) -> str:
            self.asked = asked
            if self.export_error:
                raise self.export_error
            path = Path(model.pt_path).with_suffix(".onnx")
            assert path.parent != Path(source).parent, "would write beside the weights"
            if self.samples:
                write_sampling_stub(path, opset=asked["opset"])
                return str(path)
            write_stub(path, **{"opset": asked["opset"], "size": asked["imgsz"], **self.stub})
            return str(path)

        return SimpleNamespace(
            task=self.task,
            model=model,
            names={0: "c0", 1: "c1", 2: "c2"},
            ckpt_path=source,
            export=export,
            add_callback=lambda event, _: self.callbacks.append(event),
        )
