"""Importing torchao without the note that PyTorch writes about it, which no user of netsmith can act on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_SAID_BY, _ABOUT = "torch.utils._pytree", "is an Enum subclass"


@contextmanager
def quiet_torchao() -> Iterator[None]:
    """Around the import: other notes of the same logger are written as ever."""

    def other(record: logging.LogRecord) -> bool:
        return _ABOUT not in str(record.msg)

    logger = logging.getLogger(_SAID_BY)
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)
