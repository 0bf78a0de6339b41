"""The tensor contract: names and constants that client, build tools and server steps share.

Data and one naming rule.
"""

from typing import Final

CONTRACT_VERSION: Final = 1
"""Raised when a tensor or parameter changes meaning; the client refuses other versions."""
GROUP_CONTRACT_VERSION: Final = 2
"""What a group states instead, so that a client which knows no groups refuses it."""

# Tensors -----------------------------------------------------------------------------------------
IMAGE: Final = "IMAGE"
"""UINT8 [h, w, 3], BGR, row-major: one decoded frame. Exactly one of IMAGE and ENCODED is sent."""
ENCODED: Final = "ENCODED"
"""UINT8 [n]: the bytes of one image file (see FORMATS)."""
IMAGES: Final = "images"
"""UINT8 [S, S, 3], BGR: the letterboxed frame; S is the request's IMGSZ."""
LETTERBOX: Final = "letterbox"
"""FP32 [6]: scale_x, scale_y, pad_x, pad_y (letterboxed pixels), width, height (source pixels)."""
ADMISSION: Final = "admission"
"""INT64 [1]: ticket of the frame's request, from preprocess to nms; counts frames under way."""
BOXES: Final = "boxes"
"""FP32 [K, 4]: xyxy in letterboxed pixels."""
SCORES: Final = "scores"
"""FP32 [K], in [0, 1], descending."""
CLASS_IDS: Final = "class_ids"
"""INT32 [K]: zero-based index into the labels."""
NUM_DETECTIONS: Final = "num_detections"
"""INT32 [1]: how many rows of the other outputs are detections."""
DETECTION_BOXES: Final = "detection_boxes"
"""FP32 [n, 4]: xyxy in source-image pixels, clipped to the image."""
DETECTION_SCORES: Final = "detection_scores"
"""FP32 [n], descending."""
DETECTION_CLASSES: Final = "detection_classes"
"""INT32 [n]."""
DETECTIONS: Final = (NUM_DETECTIONS, DETECTION_BOXES, DETECTION_SCORES, DETECTION_CLASSES)
AFTER: Final = "after"
"""INT32 [1]: num_detections of the member before; only makes a group's nms steps follow each other,
so that the last of them, which counts the frame out, is last indeed."""


def member_output(member: str, output: str) -> str:
    """Return the name that one of DETECTIONS has in a group: ``<member>_<output>``."""
    return f"{member}_{output}"


# Request parameters ------------------------------------------------------------------------------
CONF: Final = "conf"
"""Double in [0, 1]: detections below this confidence are dropped."""
IOU: Final = "iou"
"""Double in [0, 1]: of two boxes of one class that overlap by more, the weaker is dropped."""
MAX_DET: Final = "max_det"
"""Integer >= 1: at most this many detections, the strongest first."""
CLASSES: Final = "classes"
"""String of comma-separated class indices: only these are kept; an empty string keeps none."""
AGNOSTIC: Final = "agnostic"
"""Bool: suppress across classes."""
THRESHOLDS: Final = (CONF, IOU, MAX_DET, CLASSES, AGNOSTIC)
IMGSZ: Final = "imgsz"
"""Integer: S, in pixels; PARAM_INPUT_SIZE unless given, and nothing else where that is fixed."""

# Parameters of the ensemble's config, each a string ----------------------------------------------
PARAM_CONTRACT: Final = "tridet.contract"
"""CONTRACT_VERSION, of a group GROUP_CONTRACT_VERSION, in decimal."""
PARAM_TASK: Final = "tridet.task"
"""What the model does: ``detect``."""
PARAM_LABELS: Final = "tridet.labels"
"""JSON array of class names; the index is the class id."""
PARAM_INPUT_SIZE: Final = "tridet.input_size"
"""S where a request gives no IMGSZ, in pixels, in decimal."""
PARAM_INPUT_SIZES: Final = "tridet.input_sizes"
"""JSON array: the smallest and the largest IMGSZ; absent where PARAM_INPUT_SIZE is the only one."""
PARAM_PRECISION: Final = "tridet.precision"
"""``fp32``, ``fp16`` or ``int8``."""
PARAM_DEFAULTS: Final = "tridet.defaults"
"""JSON object: the default of every request parameter but ``classes``."""
PARAM_MAX_PIXELS: Final = "tridet.max_pixels"
"""Largest accepted source image, in pixels (width times height), in decimal."""
PARAM_BUILD: Final = "tridet.build"
"""JSON object: where the served weights come from (hashes, tool versions)."""
PARAM_GROUP: Final = "tridet.group"
"""JSON array of a group's members in the order of their class ids: objects with ``name``,
``labels``, ``precision``, ``defaults`` and ``build``, which a group does not have itself."""

# Parameters of the steps' own configs, each a string ---------------------------------------------
# (The nms step has its default thresholds there too, under the names of the request parameters.)
STEP_INPUT_SIZES: Final = "input_sizes"
"""Of preprocess: JSON array of the smallest, the default and the largest IMGSZ."""
STEP_MAX_PIXELS: Final = "max_pixels"
"""Of preprocess: as PARAM_MAX_PIXELS."""
STEP_MAX_IN_FLIGHT: Final = "max_in_flight"
"""Of preprocess and nms: most frames under way in the server, in decimal."""
STEP_MAX_WAIT_S: Final = "max_wait_s"
"""Of preprocess and nms: longest that a frame may have to wait, in seconds."""
STEP_THREADS: Final = "threads"
"""Of a detector in the Python backend: ONNX Runtime's intra-op threads; 0 takes all cores."""

# Geometry and limits -----------------------------------------------------------------------------
PAD_VALUE: Final = 114
"""Grey level of the letterbox border, all three channels; what YOLO detectors are trained with."""
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "PPM", "JPEG2000")
"""Image file formats accepted as ENCODED and decoded by the client, by their Pillow names; the last
five where the Pillow that is installed has their decoders. Of several pages the first."""
ENCODED_SUFFIX: Final = "_encoded"
"""The ensemble ``<name>`` takes IMAGE; ``<name>_encoded`` takes ENCODED."""
