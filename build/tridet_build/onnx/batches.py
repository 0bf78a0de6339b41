"""Whether a serving graph takes several images at once, as its batch axis says."""

from typing import Final

import numpy as np
import onnx
from tridet.processing import contract

from tridet_build.errors import GraphError, first_line

# Of operators that ONNX Runtime knows; those of TensorRT's plugins cannot be tried here.
_KNOWN_DOMAINS: Final = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_CURE: Final = "export again with dynamic=True"


def check_batches(graph: onnx.ModelProto, content: bytes, size: int) -> None:
    """Run two images at once and each alone, which must come to the same.

    A graph may call its axes ``batch`` and yet hold shapes of one image inside.

    Args:
        graph: the serving graph.
        content: the same, serialized.
        size: S, in pixels.

    Raises:
        GraphError: ONNX Runtime cannot run it; or not two images; or they are mixed up.
    """
    if not {node.domain for node in graph.graph.node} <= _KNOWN_DOMAINS:
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised as well
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)

    def scores(frames: np.ndarray) -> np.ndarray:
        """Best scores of each image, float32 [n, K], ascending."""
        found: np.ndarray = session.run([contract.SCORES], {contract.IMAGES: frames})[0]
        return np.sort(found)  # among NaN, which the server drops, TopK has no order of its own

    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        alone = np.concatenate([scores(images[:1]), scores(images[1:])])
    except Exception as error:  # ONNX Runtime has no common base of its errors
        raise GraphError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run it: {first_line(error)}"
        ) from None
    try:
        together = scores(images)
    except Exception as error:
        raise GraphError(
            "expected a dynamic batch axis, got one in name only: two images at once fail "
            f"({first_line(error)}); {_CURE}"
        ) from None
    # As far as FP16 and INT8 kernels for several images may round otherwise than those for one.
    if together.shape != alone.shape or not np.allclose(
        together, alone, rtol=0.05, atol=0.02, equal_nan=True
    ):
        raise GraphError(
            "expected a dynamic batch axis, got one in name only: two images at once give other "
            f"detections than each alone; {_CURE}"
        )
