"""Functions of the user that settings name: `module:function`, beside a settings file.

The module is loaded when it is asked for and never before; which text of it was loaded
is said by a digest, so that data made with another text are not mixed with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mimyria.errors import SettingsError, one_line

__all__ = ["UserFunction", "is_user_function"]


def is_user_function(text: str) -> bool:
    """Whether a text has the form `module:function`, with dots in the module or not."""
    module, _, function = text.partition(":")
    return all(part.isidentifier() for part in [*module.split("."), function])


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A function by its name.

    Attributes:
        text: `module:function`.
        search: folder where the module is looked for, before Python's own places.
        setting: where the name stands, for messages, as `code.factory`.
        search_setting: where the folder stands, as `code.search`.
    """

    text: str
    search: Path
    setting: str
    search_setting: str

    def module(self) -> ModuleType:
        """Load the module.

        Raises:
            SettingsError: it is not found or does not load, or another one of this name
                is loaded already.
        """
        name = self.text.split(":")[0]
        folder = self.search.resolve()
        beside = folder.joinpath(*name.split(".")).with_suffix(".py")
        try:
            with _looked_for_first(folder):
                module = importlib.import_module(name)
        except ImportError as error:
            raise SettingsError(
                f"{self._said}: {one_line(error)}. The module is looked for in "
                f"{folder}; {self.search_setting} names another folder."
            ) from error
        except Exception as error:  # foreign code may raise anything
            raise SettingsError(
                f"{self._said}: the module stopped while it was loaded: "
                f"{type(error).__name__}: {one_line(error)}."
            ) from error
        if beside.is_file() and Path(module.__file__ or "").resolve() != beside:
            raise SettingsError(
                f"{self._said} means {beside}, but another module {name} is loaded "
                f"from {module.__file__}. Rename yours."
            )
        return module

    def load(self) -> Callable[..., Any]:
        """The function itself.

        Raises:
            SettingsError: see `module`, or the module has no such function.
        """
        module, name = self.module(), self.text.split(":")[1]
        function: object = getattr(module, name, None)
        if not callable(function):
            raise SettingsError(
                f"{self._said}: {module.__file__} has no function {name}."
            )
        return function

    def call(self, *arguments: object, given: str) -> Any:  # noqa: ANN401
        """What the function gives.

        Args:
            *arguments: for the function.
            given: what they are, in words.

        Raises:
            SettingsError: see `load`, or the function stopped.
        """
        function = self.load()
        try:
            with _looked_for_first(self.search.resolve()):
                return function(*arguments)
        except Exception as error:  # foreign code may raise anything
            raise SettingsError(
                f"{self._said} was called with {given} and stopped: "
                f"{type(error).__name__}: {one_line(error)}."
            ) from error

    def sha256(self) -> str | None:
        """Digest of the text of the module; None for one without a file.

        Raises:
            SettingsError: see `module`.
        """
        source = self.module().__file__
        if not source:
            return None
        return hashlib.sha256(Path(source).read_bytes()).hexdigest()

    @property
    def _said(self) -> str:
        return f"{self.setting} = '{self.text}'"


@contextlib.contextmanager
def _looked_for_first(folder: Path) -> Iterator[None]:
    """Python looks into the folder before all others."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
