"""An exception in the middle of what is tested, as an interrupt of a body comes."""

import sys


class Interrupt:
    """Raises an exception at one bytecode of what is tested, inside of a ``with``.

    Args:
        at: Which of the bytecodes that are executed there, from 1.
        modules: What is tested.

    Attributes:
        place: Where that was. None if it did not come so far.
    """

    def __init__(self, at, exception, modules):
        self.at = at
        self.exception = exception
        self.files = {module.__file__ for module in modules}
        self.place = None
        self._count = 0

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._enter)

    def __exit__(self, *error):
        sys.settrace(self._before)

    def _enter(self, frame, event, argument):
        if frame.f_code.co_filename in self.files:
            frame.f_trace_opcodes = True
            return self._step

    def _step(self, frame, event, argument):
        if event == "opcode":
            self._count += 1
            if self._count == self.at:
                self.place = f"{frame.f_code.co_name}, line {frame.f_lineno}"
                raise self.exception("now")
        return self._step
