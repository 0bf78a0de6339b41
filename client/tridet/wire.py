"""Build the bytes of a ModelInfer request and read the answer: no network here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tridet import protocol
from tridet.exceptions import ContractMismatch
from tridet.options import Parameters
from tridet.transports import Payload

_DTYPES: dict[str, Any] = {"FP32": np.float32, "INT32": np.int32}
# Protobuf's wire key of ModelInferRequest.raw_input_contents: its field number, length-delimited.
_RAW_CONTENTS_KEY = bytes(
    [protocol.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number << 3 | 2]
)
# The server gives up a little before the client does, so that the caller learns which of the two
# happened: a queue that was too slow, or no answer at all.
_SERVER_SHARE = 0.9


def request_bytes(
    payload: Payload,
    parameters: Parameters,
    *,
    timeout_s: float,
    region: str | None = None,
) -> bytes:
    """Return a serialized ModelInferRequest for one image, batch dimension 1.

    Args:
        payload: the image.
        parameters: the thresholds.
        timeout_s: seconds left to the caller; the server drops a request that has waited longer.
        region: name of the shared memory that holds ``payload.data``; None sends the data itself.
    """
    request = protocol.ModelInferRequest(model_name=payload.model)
    request.parameters["timeout"].int64_param = max(1, int(timeout_s * _SERVER_SHARE * 1e6))
    for name, value in parameters.items():
        parameter = request.parameters[name]
        if isinstance(value, bool):
            parameter.bool_param = value
        elif isinstance(value, int):
            parameter.int64_param = value
        elif isinstance(value, float):
            parameter.double_param = value
        else:
            parameter.string_param = value
    for name in payload.outputs:
        request.outputs.add(name=name)
    data = payload.data
    tensor = request.inputs.add(name=payload.tensor, datatype="UINT8", shape=(1, *data.shape))
    if region is not None:
        tensor.parameters["shared_memory_region"].string_param = region
        tensor.parameters["shared_memory_byte_size"].int64_param = data.nbytes
        serialized: bytes = request.SerializeToString()
        return serialized
    # Protobuf copies a bytes field three times on its way out, 16 ms for a 1080p image. Fields of a
    # message may be concatenated, so the pixels are appended as what they are: its last field.
    return b"".join(
        (request.SerializeToString(), _RAW_CONTENTS_KEY, _varint(data.nbytes), data.data)
    )


def arrays_from_response(
    response: Any, names: Sequence[str]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return boxes float32 [n, 4] in pixels of the sent image, scores [n], class ids int32 [n].

    Args:
        response: a ModelInferResponse, batch dimension 1.
        names: what DETECTIONS are called in it.

    Raises:
        ContractMismatch: an output is missing, or of another type or shape.
    """
    outputs: dict[str, npt.NDArray[Any]] = {}
    try:
        for tensor, content in zip(response.outputs, response.raw_output_contents, strict=True):
            array = np.frombuffer(content, _DTYPES[tensor.datatype])
            outputs[tensor.name] = array.reshape(tuple(tensor.shape))
        counts, boxes, scores, class_ids = (outputs[name] for name in names)
        count = int(counts.reshape(-1)[0])
        boxes = boxes.reshape(-1, 4)[:count]
        scores = scores.reshape(-1)[:count]
        class_ids = class_ids.reshape(-1)[:count]
        if not len(boxes) == len(scores) == len(class_ids) == count:
            raise ValueError(f"{count} announced, {len(boxes)} boxes, {len(scores)} scores")
    except (KeyError, IndexError, ValueError) as error:
        raise ContractMismatch(
            f"model {response.model_name!r}: expected the outputs {', '.join(names)}, "
            f"got something else ({error}); build the model again"
        ) from error
    return boxes, scores, class_ids


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
