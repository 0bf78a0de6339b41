"""Everything that tridet raises on purpose.

TridetError
├── ServerUnreachable        nothing answers at the url, or it went away
├── ServerNotReady           it answers, but is starting, stopping or (un)loading the model
├── ModelUnknown             it does not serve a model of that name
├── ContractMismatch         it serves one, but not a tridet detector that this client can talk to
├── InvalidInput             the image, a threshold or an option is not acceptable
├── SharedMemoryUnavailable  the server cannot open this machine's shared memory
├── Overloaded               its queue is full, or the request waited there for too long
├── TimedOut                 no answer within ``timeout_s``
├── SourceFailed             a video, stream or camera cannot be read, or is given up
├── SinkFailed               a file, address or command takes no more results of a stream
├── MissingExtra             a package that an extra of tridet installs is not there
└── ServerFailed             any other failure inside the server

Every message is one line that gives what was expected, what was found and what to do next.
"""

# ruff: noqa: N818 -- the names say what happened, as httpx's do; the base class says Error.


class TridetError(Exception):
    """Base of all errors below."""


class ServerUnreachable(TridetError):
    """No server answers at the url."""


class ServerNotReady(TridetError):
    """The server answers but does not serve yet, or no longer."""


class ModelUnknown(TridetError):
    """The server does not serve a model of this name; the message lists those that it serves."""


class ContractMismatch(TridetError):
    """The model is not a tridet detector, or follows another version of the contract."""


class InvalidInput(TridetError):
    """An image, a threshold or an option is not acceptable; sending it again will not help."""


class SharedMemoryUnavailable(TridetError):
    """Transport ``shm`` was asked for, but the server does not share this machine's memory."""


class Overloaded(TridetError):
    """The server rejected the request because its queue was full or too slow."""


class TimedOut(TridetError):
    """The call did not finish within its ``timeout_s``."""


class SourceFailed(TridetError):
    """A video, stream or camera cannot be read, or is given up; no further frame will come."""


class SinkFailed(TridetError):
    """A file, address or command takes no more results; the others go on."""


class MissingExtra(TridetError):
    """This needs an extra of tridet; the message names the package and the install."""


class ServerFailed(TridetError):
    """The server reports an error that is none of the above; its log says more."""
