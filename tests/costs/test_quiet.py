"""One note about torchao is dropped, and nothing else."""

from __future__ import annotations

import logging

import pytest

from netsmith.costs.quiet import quiet_torchao


def test_only_that_note_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("torch.utils._pytree")
    with quiet_torchao():
        logger.warning("%s is an Enum subclass and is now natively supported", "KernelPreference")
        logger.warning("something else")
    logger.warning("this is an Enum subclass")
    assert caplog.messages == ["something else", "this is an Enum subclass"]
