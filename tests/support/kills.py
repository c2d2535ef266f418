"""Training that dies at a given step, as by SIGKILL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from torch import Tensor

from anaume.pretrain import loop


class Killed(Exception):
    """Stands for SIGKILL: nothing in the program catches it."""


@contextmanager
def killed_after(updates: int) -> Iterator[None]:
    """Let the training in this block die after `updates` optimizer steps."""
    update, count = loop.update, iter(range(updates))

    def dying(*arguments: Any) -> tuple[Tensor, Tensor]:
        if next(count, None) is None:
            raise Killed
        return update(*arguments)

    with patch.object(loop, "update", dying), pytest.raises(Killed):
        yield
