"""Tensors of Triton's Python backend as NumPy arrays and back, without a copy.

Through DLPack: ``as_numpy()`` and ``Tensor(name, array)`` of the pip server's Python backend, of
Triton 2.51, were built for NumPy 1 and hand NumPy 2 empty or zeroed arrays without an error. DLPack
does not go through NumPy's C interface and is the same for every version.
"""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

_set_capsule_name = ctypes.pythonapi.PyCapsule_SetName
_set_capsule_name.argtypes = (ctypes.py_object, ctypes.c_char_p)
_CONSUMED = ctypes.c_char_p(b"used_dltensor")


def array_from_request(request: Any, name: str) -> npt.NDArray[Any] | None:
    """Return an input of the request, not to be written to; None where it was not sent."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else np.from_dlpack(tensor)


def tensor_from_array(name: str, array: npt.NDArray[Any]) -> Any:
    """Return an output of that name over the memory of ``array``, of any layout."""
    array = np.ascontiguousarray(array)
    if array.size == 0:
        # The backend calls it "not contiguous" unless its strides are those of C order, counted
        # with the axis of no length; NumPy's own are all zero.
        sides = [*array.shape[1:], 1]
        strides = [array.itemsize * int(np.prod(sides[axis:])) for axis in range(array.ndim)]
        array = np.lib.stride_tricks.as_strided(array, strides=strides)
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # The backend marks it as taken under a name of its own, "used_dlpack": by the protocol NumPy
    # takes it for its own still, and writes an error to the log when it ends, once a tensor.
    _set_capsule_name(capsule, _CONSUMED)
    return tensor
