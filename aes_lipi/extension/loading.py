"""What users add to the built-in choices: found, imported, and held to the rules.

A plug-in is a pure function: it leaves what it is given as it is, and the same input, with a
generator in the same state, gives the same result. So every call is made twice, each time on
read-only copies. What breaks a rule is told in one line that names the plug-in.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import FrozenInstanceError, dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import numpy as np

from aes_lipi.arrays import Array
from aes_lipi.config import Variant
from aes_lipi.config.defaults import is_path, registered
from aes_lipi.config.parameters import split_name
from aes_lipi.errors import UserError, nearest, printable
from aes_lipi.extension.signature import check_arguments, own_values

T = TypeVar("T")

_LONGEST_NAME = 160  # that is told whole


@dataclass(frozen=True)
class Plugin:
    """Something that a user adds.

    Attributes:
        field: of the configuration, that names it.
        name: as it stands there.
        path: `package.module:attribute`.
        value: what it is.
        file: that its module comes from.
        digest: SHA-256 of that file's content when it was imported.
        parameters: values that the user sets for parameters of it, as text, by name.
    """

    field: str
    name: str
    path: str
    value: Any
    file: str
    digest: str
    parameters: Mapping[str, str]

    def error(self, problem: str) -> UserError:
        """What the user is told: one line that names the plug-in, the problem and the remedy."""
        return _error(self.field, self.name, problem)

    def function(self, *parameters: str) -> Callable[..., Any]:
        """The plug-in as a function; of a class, an instance.

        What the user sets are parameters of the function's own, or of the class.

        Args:
            parameters: names of what it will be given.

        Raises:
            UserError: the plug-in takes other parameters, or a class cannot be made of what is set;
                the line says which to change.
        """
        if not inspect.isclass(self.value):
            return self.bound(self.value, parameters)
        own = self._own_values(self.value, 0)
        try:
            made = self.value(**own)
        except Exception as error:
            raise self.error(
                f"cannot be made without arguments ({_told(error, self.file)}); name an "
                "instance of the class instead, or set what it takes as {plugin: ..., NAME: ...}"
            ) from error
        if not callable(made):
            raise self.error(
                "is a class whose instances cannot be called; name a function with the parameters "
                f"({', '.join(parameters)}), or give the class a method __call__"
            )
        self._check(made, parameters, {})
        return made

    def bound(self, value: Any, parameters: Sequence[str]) -> Callable[..., Any]:
        """A function, with the values that the user sets for parameters of its own.

        Args:
            value: takes these after what it will be given.
            parameters: names of what it will be given.

        Raises:
            UserError: the value is no function, takes other parameters than these, or has not what
                the user sets; the line says what to change.
        """
        if not callable(value):
            raise self.error(
                f"is of type {type(value).__name__}; name a function with the parameters "
                f"({', '.join(parameters)})"
            )
        own = self._own_values(value, len(parameters))
        self._check(value, parameters, own)
        return partial(value, **own) if own else value

    def _own_values(self, function: Callable[..., Any], n_given: int) -> dict[str, Any]:
        try:
            return own_values(function, n_given, self.parameters)
        except ValueError as error:
            raise self.error(str(error)) from None

    def _check(
        self, function: Callable[..., Any], parameters: Sequence[str], own: Mapping[str, Any]
    ) -> None:
        try:
            check_arguments(function, parameters, own)
        except ValueError as error:
            raise self.error(str(error)) from None


@dataclass(frozen=True, eq=False)
class Kind(Generic[T]):
    """A kind of what users can name: one field's built-in choices, and what may join them.

    Attributes:
        field: of the configuration, that names it.
        check: makes of a plug-in what the package uses, and raises a UserError where that breaks a
            rule.
        built_in: the choices without plug-ins.
    """

    field: str
    check: Callable[[Plugin], T]
    built_in: Mapping[str, T]


def load(kind: Kind[T], name: str) -> T:
    """What a name stands for: a built-in choice, or a plug-in, imported and checked once.

    Raises:
        UserError: the plug-in's module or name is not there, or it breaks a rule of its kind; the
            line says which and what to do.
    """
    if name in kind.built_in:
        return kind.built_in[name]
    checked: T = _checked(kind, name)
    return checked


@cache
def _checked(kind: Kind[Any], name: str) -> Any:
    return kind.check(_find(kind.field, name))


@cache
def _find(field: str, name: str) -> Plugin:
    """Import a plug-in, once.

    Its module is looked for where Python looks for modules, and then in the current directory.

    Args:
        field: of the configuration, that names it.
        name: a dotted path, or a name that a package registers.

    Raises:
        UserError: the package is not installed, or the module raises an exception or has no such
            name; the line says what to check.
    """
    bare, parameters = split_name(name)
    path = bare if is_path(bare) else _registered_path(field, bare)
    module_name, _, attribute = path.partition(":")
    if module_name == "__main__":
        raise _error(field, name, "is part of the script that runs; put it in a module of its own")
    module = _import(field, name, module_name)
    file = getattr(module, "__file__", None)
    if file is None:
        raise _error(field, name, f"{module_name} has no file; put it in a .py file")
    value = _attribute(field, name, module, attribute)
    digest = _digest(field, name, file)
    return Plugin(field, name, path, value, file, digest, dict(parameters))


def plugins_digest(variant: Variant) -> str | None:
    """What a variant's plug-ins are and were when they were imported; None where it has none.

    Returns:
        SHA-256, in hexadecimal digits, of a line for each plug-in: the field that names it, its
        path, and the SHA-256 of its module's file. What that file imports does not count.

    Raises:
        UserError: a plug-in cannot be imported; check its name, or install it.
    """
    if not variant.plugged:
        return None
    plugins = [_find(field, name) for field, name in variant.plugged]
    lines = [f"{plugin.field} {plugin.path} {plugin.digest}\n" for plugin in plugins]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_same_plugins(variant: Variant) -> None:
    """Make sure that a variant's plug-ins are here what they were where its study was made.

    Raises:
        UserError: a file is not the one that the study was begun with, which another output
            directory takes, or cannot be imported.
    """
    if variant.plugins_digest in (None, plugins_digest(variant)):
        return
    named = " and ".join(f"{field} {name}" for field, name in variant.plugged)
    raise UserError(
        f"{named}: not the file that the study was begun with; choose another --output_dir, or "
        "bring every node of a cluster the same file"
    )


def _registered_path(field: str, name: str) -> str:
    paths = registered(field).get(name, ())
    if len(paths) != 1:
        raise _error(
            field, name, "is not registered here; install its package (on every node of a cluster)"
        )
    if not is_path(paths[0]):
        raise _error(field, name, f"is registered for {paths[0]}, which is not module:attribute")
    return paths[0]


def _import(field: str, name: str, module: str) -> ModuleType:
    with suppress(OSError):  # there is no such directory any more
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module}.".startswith(f"{missing}."):
            raise _error(
                field,
                name,
                f"there is no module {missing}, neither installed nor in the current directory; "
                "check its name, or install it (on every node of a cluster)",
            ) from None
        raise _error(
            field, name, f"its module cannot be imported: {_told(error)}; mend it"
        ) from error


def _attribute(field: str, name: str, module: ModuleType, attribute: str) -> Any:
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            known = [each for each in vars(module) if not each.startswith("_")]
            close = nearest(part, known) or "; check its name"
            raise _error(field, name, f"{module.__name__} has no {part}{close}")
        value = getattr(value, part)
    return value


def _digest(field: str, name: str, file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError as error:
        raise _error(
            field, name, f"{file} cannot be read ({error.strerror}); put it in a .py file"
        ) from None


def _error(field: str, name: str, problem: str) -> UserError:
    is_whole = is_path(split_name(name)[0]) and len(name) <= _LONGEST_NAME
    shown = name if is_whole else printable(name)
    return UserError(f"{field} {shown}: {problem}")


def _told(error: BaseException, file: str | None = None) -> str:
    """An exception in a few words: its type, what it says, and the line that raised it.

    Args:
        error: the exception.
        file: the innermost line of this file is told; by default the first that was imported.
    """
    said = " ".join(str(error).split())
    short = said if len(said) <= 200 else said[:197] + "..."
    frames = traceback.extract_tb(error.__traceback__)
    if file is None:
        lines = [frame for frame in frames if not _is_machinery(frame)][:1]
    else:
        lines = [frame for frame in frames if frame.filename == file][-1:]
    place = "".join(f" ({Path(line.filename).name}, line {line.lineno})" for line in lines)
    return f"{type(error).__name__}{': ' if short else ''}{short}{place}"


def _is_machinery(frame: traceback.FrameSummary) -> bool:
    """Whether a line is one of those that import modules."""
    return frame.filename in (__file__, importlib.__file__) or frame.filename.startswith("<")


_READ_ONLY = ("read-only", "cannot set WRITEABLE")
"""What numpy says to those who would change a read-only array."""


@contextmanager
def _watched(plugin: Plugin) -> Iterator[None]:
    """Tell what a plug-in raises inside.

    Raises:
        UserError: the plug-in raised an exception, to be mended, or writes to what it is given, of
            which it must take a copy.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        writes = isinstance(error, ValueError) and any(said in str(error) for said in _READ_ONLY)
        if writes or isinstance(error, FrozenInstanceError):
            raise plugin.error(
                f"changes what it is given ({_told(error, plugin.file)}); work on a copy"
            ) from error
        raise plugin.error(f"raised {_told(error, plugin.file)}; mend it") from error


def called(
    plugin: Plugin,
    arrays: Mapping[str, Array],
    call: Callable[[Mapping[str, Array]], T],
) -> T:
    """The result of a plug-in's call, which must leave the arrays that it is given as they are.

    Args:
        plugin: is called.
        arrays: what it is given, by the names that the user knows them by.
        call: calls it with copies of them.

    Raises:
        UserError: the plug-in raises an exception, or changes an array that it must copy first.
    """
    given = {name: _read_only(array) for name, array in arrays.items()}
    with _watched(plugin):
        result = call(given)
    for name, array in arrays.items():
        if not np.array_equal(given[name], array, equal_nan=True):
            raise plugin.error(f"changes {name}, which it is given; work on a copy, {name}.copy()")
    return result


def _read_only(array: Array) -> Array:
    own = array.copy()
    own.flags.writeable = False
    return own


def settled(plugin: Plugin, call: Callable[[], T], same: Callable[[T, T], bool]) -> T:
    """The result of a call, which must be the same when the call is repeated.

    Args:
        plugin: is called.
        call: calls it; every time with a generator in the same state, if it is given any.
        same: whether two results are the same.

    Raises:
        UserError: the results differ; the plug-in must follow from its input and the generator that
            it is given.
    """
    first = call()
    if same(first, call()):
        return first
    before = _global_generators()
    call()
    moved = [name for name, state in _global_generators().items() if state != before[name]]
    raise plugin.error(
        "gives another result when it is called again with the same input; "
        + (
            f"it draws from {' and '.join(moved)}, and must from the one it is given, if any"
            if moved
            else "it must not depend on a clock, a counter or a generator of its own"
        )
    )


def _global_generators() -> dict[str, object]:
    """The states of the generators that a plug-in must not draw from."""
    kind, key, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - to see who draws from it
    return {
        "numpy's global generator": (kind, np.asarray(key).tobytes(), rest),
        "Python's global generator": random.getstate(),
    }
