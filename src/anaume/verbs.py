"""Packages that can be called: `anaume.pretrain` is a room of the source code and the function of the API.

A room whose name is that of a function calls `make_callable(__name__)`. The function is imported at the first call.
"""

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


class VerbPackage(ModuleType):
    """A package that passes calls on to the function of its name in `anaume.api.verbs`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function. Its signature is that of the package."""
        return _function(self)(*arguments, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_function(self))


def _function(package: ModuleType) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module("anaume.api.verbs"), package.__name__.rpartition(".")[2])
    return function


def make_callable(package: str) -> None:
    """Let the package of this name, which is being imported, be called as a function."""
    sys.modules[package].__class__ = VerbPackage
