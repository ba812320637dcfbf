"""``python -m benchmarks`` measures; ``python -m benchmarks report`` renders the results.

``python -m benchmarks desk`` measures the admin on large tables, and renders that.
"""

import signal
import sys
from pathlib import Path

from benchmarks import options, report, run, sides
from benchmarks.desk import command as desk


def main(arguments: list[str]) -> None:
    # As Ctrl-C does: whatever was started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if arguments[:1] == ["report"]:
        written = report.report(*map(Path, arguments[1:]))
    elif arguments[:1] == ["desk"]:
        written = desk.main(arguments[1:])
    else:
        chosen = options.parse(arguments, list(run.SUITES), list(sides.BY_NAME))
        written = [run.measure(chosen)]
    for path in written:
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
