"""Hand images to a server on this machine through system shared memory."""

from __future__ import annotations

import itertools
import os
import threading
import uuid
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np

from tridet import protocol
from tridet.access import KEY_VARIABLE
from tridet.exceptions import SharedMemoryUnavailable
from tridet.flow import Call, Flow
from tridet.images import UInt8Array
from tridet.rpc_errors import is_restricted, is_retryable, reason_of

if TYPE_CHECKING:
    from multiprocessing.shared_memory import SharedMemory

_CONTROL_TIMEOUT_S = 2.0
_KIND = "tridet-"


class Region:
    """One block of shared memory, known to the server under its name.

    Python's resource tracker, a process of its own, unlinks the block even if this one is killed.
    """

    def __init__(self, name: str, nbytes: int) -> None:
        from multiprocessing.shared_memory import SharedMemory

        self.name = name
        self.nbytes = nbytes
        self._memory = SharedMemory(name, create=True, size=nbytes)
        try:
            _reserve(name, nbytes)
        except OSError:
            _unlink(self._memory, os.getpid())
            raise
        # Also when the detector is never closed: at garbage collection or at exit.
        self.unlink = weakref.finalize(self, _unlink, self._memory, os.getpid())
        """Give the block back to the system; the server's mapping lasts until unregistered."""

    def write(self, data: UInt8Array) -> None:
        """Copy uint8 of any shape to the start of the block."""
        np.ndarray(data.shape, np.uint8, buffer=self._memory.buf)[...] = data


def _reserve(name: str, nbytes: int) -> None:
    # A block is given its pages as it is written, and where there are none left the process dies of
    # SIGBUS; asked for now, their lack is an error like any other.
    file = os.open(f"/dev/shm/{name}", os.O_RDWR)
    try:
        os.posix_fallocate(file, 0, nbytes)
    finally:
        os.close(file)


def _unlink(memory: SharedMemory, owner: int) -> None:
    memory.close()
    if os.getpid() == owner:  # a fork of it has a copy, and the block is not its to take away
        memory.unlink()


class RegionPool:
    """Blocks of shared memory, one for each request in flight, that grow to the largest image.

    A block whose request was given up is used again at once: should the server still read it, it
    reads for an answer that nobody waits for.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._prefix = f"{_KIND}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._free: list[Region] = []
        self._has_tidied = False

    def lease(self, nbytes: int) -> Flow[Region]:
        """Take a registered block of at least ``nbytes`` out of the pool."""
        with self._lock:
            region = self._free.pop() if self._free else None
        if region is not None and region.nbytes >= nbytes:
            return region
        if region is not None:
            yield from self._discard(region)
        region = self._create(nbytes)
        try:
            yield from self.register(region)
        except BaseException:
            region.unlink()
            raise
        if not self._has_tidied:
            self._has_tidied = True
            yield from self._tidy()
        return region

    def release(self, region: Region) -> None:
        """Put a leased block back."""
        with self._lock:
            self._free.append(region)

    def register(self, region: Region) -> Flow[None]:
        """Make the block known to the server.

        Raises:
            SharedMemoryUnavailable: the server cannot open it.
        """
        request = protocol.SystemSharedMemoryRegisterRequest(
            name=region.name, key=f"/{region.name}", byte_size=region.nbytes
        )
        try:
            yield Call("SystemSharedMemoryRegister", request, _CONTROL_TIMEOUT_S)
        except grpc.RpcError as error:
            if is_retryable(error) or error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            if is_restricted(error):
                raise SharedMemoryUnavailable(
                    f"the server at {self._url} takes shared memory only with its key: start the "
                    f"client as the server's user, set {KEY_VARIABLE}, or use transport fit"
                ) from error
            raise SharedMemoryUnavailable(
                f"the server at {self._url} cannot open this machine's shared memory "
                f"({reason_of(error)}): transport shm needs it on this machine, and in a container "
                "--ipc=host; use transport fit otherwise"
            ) from error

    def _tidy(self) -> Flow[None]:
        """Unregister the blocks of clients that were killed: the server has them mapped still.

        Now that it has opened one of ours, it is known to see the blocks that are seen here.
        """
        try:
            known = yield Call(
                "SystemSharedMemoryStatus",
                protocol.SystemSharedMemoryStatusRequest(),
                _CONTROL_TIMEOUT_S,
            )
            for name, status in known.regions.items():
                ours = name.startswith(_KIND) and status.key == f"/{name}"
                # A client's block is gone as soon as its process is, and before that only once it
                # has been unregistered.
                if ours and not Path("/dev/shm", name).exists():
                    request = protocol.SystemSharedMemoryUnregisterRequest(name=name)
                    yield Call("SystemSharedMemoryUnregister", request, _CONTROL_TIMEOUT_S)
        except grpc.RpcError:
            pass  # another client has been faster, or the server has other troubles

    def close(self) -> Flow[None]:
        """Unregister and unlink every block that is in the pool."""
        with self._lock:
            regions, self._free = self._free, []
        for region in regions:
            yield from self._discard(region)

    def _create(self, nbytes: int) -> Region:
        try:
            return Region(f"{self._prefix}-{next(self._numbers)}", nbytes)
        except OSError as error:
            raise SharedMemoryUnavailable(
                f"cannot create {nbytes} bytes of shared memory ({error.strerror or error}): "
                "enlarge /dev/shm, or use transport fit"
            ) from error

    def _discard(self, region: Region) -> Flow[None]:
        request = protocol.SystemSharedMemoryUnregisterRequest(name=region.name)
        try:
            yield Call("SystemSharedMemoryUnregister", request, _CONTROL_TIMEOUT_S)
        except grpc.RpcError:
            # The server is gone, or still reads it for a request that was given up: nothing to do.
            pass
        finally:
            region.unlink()
