"""Every error that netsmith raises on purpose.

They live on the ground floor so that any room can raise them. Each message says what is wrong, where, and how to
mend it; the command line prints the message alone and exits with code 2.
"""


class NetsmithError(Exception):
    """Base class: catch this to catch everything that netsmith raises on purpose."""


class InputError(NetsmithError):
    """Example inputs, data or options that cannot be used (wrong shapes, empty data, bad values)."""


class CaptureError(NetsmithError):
    """The model's ``forward`` cannot be run with the given example inputs."""


class ModelError(NetsmithError):
    """The model itself cannot be worked on (NaN weights, unsupported parameters, cannot be copied)."""


class UnknownOpError(NetsmithError):
    """``trace(..., unknown="raise")`` met torch functions that have no wiring rule."""


class UnknownNameError(NetsmithError):
    """A name (model, data set, score, axis, pattern) that nothing answers to; the message lists what does."""


class EvidenceError(NetsmithError):
    """A score or a repair needs data that was not given."""


class BudgetError(NetsmithError):
    """A budget that no plan can reach; the message says what the floor is."""


class PlanError(NetsmithError):
    """A plan that does not belong to this model, or that contradicts itself."""


class FileError(NetsmithError):
    """A file or folder that is missing, truncated, tampered with, or cannot be written."""


class MissingExtraError(NetsmithError):
    """An optional dependency is not installed; the message names the extra that brings it."""


def missing_extra(package: str, extra: str, what: str) -> MissingExtraError:
    """The error for an absent optional dependency: ``raise missing_extra("timm", "vision", "timm: models")``."""
    return MissingExtraError(
        f"{what} needs the package {package!r}, which is not installed.\n"
        f'Install it with:  pip install "netsmith[{extra}]"'
    )
