"""Plain data out of a pickle, and nothing else: no name in it is ever looked up or called.

The standard library's own reader of pickles is a machine that calls what the pickle names, so
it is not used. ``pickletools.genops`` only takes the bytes apart; what they mean is worked out
here, for the few instructions that plain data needs. Whatever else comes is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django_jobflow.moving.rebuilding import BUILDERS, NotPlain, Unbuilt, rebuilt

MARK = object()

CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = frozenset(
    {
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "LONG4",
        "BINFLOAT",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
        "SHORT_BINBYTES",
        "BINBYTES",
        "BINBYTES8",
    }
)
EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
IGNORED = frozenset({"PROTO", "FRAME"})


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a class or a function, as text; it is not known whether there is one."""

    path: str


def read(data: bytes) -> Any:
    """Return the plain data that *data* holds.

    That is what JSON has, and tuples, sets, bytes, moments, durations, ``Decimal`` and
    ``UUID``. A class or a function that is mentioned without being called is a ``Name``.

    Raises:
        NotPlain: There is something else in it, or it is no pickle.
    """
    reader = _Reader()
    try:
        for instruction, argument, _ in pickletools.genops(data):
            reader.follow(instruction.name, argument)
    except NotPlain:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise NotPlain("it cannot be read as a pickle") from error
    return reader.result()


class _Reader:
    """The stack and the memo of a pickle, for instructions that only make data."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        if len(self.stack) != 1:
            raise NotPlain("it cannot be read as a pickle")
        return _finished(self.stack[0])

    def follow(self, name: str, argument: Any) -> None:
        if name in VALUES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in STEPS:
            STEPS[name](self, argument)
        elif name not in IGNORED:
            raise NotPlain(f"it has the instruction {name}, which plain data does not need")

    def marked(self) -> list[Any]:
        """Take what is above the last mark off the stack."""
        start = len(self.stack) - 1
        while self.stack[start] is not MARK:
            start -= 1
            if start < 0:
                raise NotPlain("it cannot be read as a pickle")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def taken(self, count: int) -> list[Any]:
        """Take *count* values off the stack."""
        if len(self.stack) < count:
            raise NotPlain("it cannot be read as a pickle")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        for item in map(_finished, items):
            target.add(item) if type(target) is set else target.append(item)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise NotPlain("it cannot be read as a pickle")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_finished(key)] = _finished(value)

    def name_of(self, module: Any, name: Any) -> None:
        self.stack.append(Name(f"{module}.{name}"))

    def make(self) -> None:
        """Make a value of a name that is known here, by code of our own."""
        name, arguments = self.taken(2)
        path = name.path if isinstance(name, Name) else "something without a name"
        if path not in BUILDERS or type(arguments) is not tuple:
            raise NotPlain(f"it calls {path}")
        self.stack.append(rebuilt(path, arguments))

    def build(self) -> None:
        unbuilt, state = self.taken(2)
        if not isinstance(unbuilt, Unbuilt):
            raise NotPlain("it gives attributes to an object")
        self.stack.append(unbuilt.with_state(state))


def _finished(value: Any) -> Any:
    if isinstance(value, Unbuilt) or value is MARK:
        raise NotPlain("it cannot be read as a pickle")
    return value


def _tuple(count: int) -> Callable[[_Reader, Any], None]:
    def step(reader: _Reader, _: Any) -> None:
        reader.stack.append(tuple(map(_finished, reader.taken(count))))

    return step


def _memoize(reader: _Reader, key: int | None) -> None:
    reader.memo[len(reader.memo) if key is None else key] = reader.stack[-1]


STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    "MARK": lambda reader, _: reader.stack.append(MARK),
    "STOP": lambda reader, _: None,
    "MEMOIZE": _memoize,
    "BINPUT": _memoize,
    "LONG_BINPUT": _memoize,
    "BINGET": lambda reader, key: reader.stack.append(reader.memo[key]),
    "LONG_BINGET": lambda reader, key: reader.stack.append(reader.memo[key]),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "TUPLE": lambda reader, _: reader.stack.append(tuple(map(_finished, reader.marked()))),
    "FROZENSET": lambda reader, _: reader.stack.append(frozenset(reader.marked())),
    "APPEND": lambda reader, _: reader.extend(reader.taken(1)),
    "APPENDS": lambda reader, _: reader.extend(reader.marked()),
    "ADDITEMS": lambda reader, _: reader.extend(reader.marked()),
    "SETITEM": lambda reader, _: reader.set_items(reader.taken(2)),
    "SETITEMS": lambda reader, _: reader.set_items(reader.marked()),
    "STACK_GLOBAL": lambda reader, _: reader.name_of(*reader.taken(2)),
    "REDUCE": lambda reader, _: reader.make(),
    "NEWOBJ": lambda reader, _: reader.make(),
    "BUILD": lambda reader, _: reader.build(),
}
