"""``python -m tests.chaos --minutes 20`` breaks things at random; its exit code says the rest.

``python -m tests.chaos report postgresql=FILE`` puts the results of a run into the page.
"""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.report import report
from tests.chaos.results import Results, about_this, happenings, results, summary, table
from tests.chaos.servers import KINDS
from tests.chaos.stage import Stage, house
from tests.chaos.storm import Storm

PROGRESS = 10.0  # seconds between two lines of it
LEASE = 5  # seconds
PAUSE = 0.15  # seconds


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, metavar="N")
    parser.add_argument("--seed", default=secrets.token_hex(3), metavar="S")
    parser.add_argument("--database", choices=KINDS, default="postgresql")
    parser.add_argument("--hosts", type=int, default=2, metavar="N", help="each with 2 workers")
    parser.add_argument(
        "--pause", type=float, default=PAUSE, help="seconds between transactions of the producer"
    )
    parser.add_argument(
        "--only", action="append", choices=sorted(FAULTS), help="this fault; may be repeated"
    )
    parser.add_argument(
        "--calm", action="store_true", help="one fault at a time, with two leases in between"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON of the results")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for logs and ledgers")
    return parser.parse_args(arguments)


class Teller:
    """Tells how a run gets on."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.began = time.monotonic()
        self.over = threading.Event()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    def run(self) -> None:
        while not self.over.wait(PROGRESS):
            self.say(f"{self.stage.ended()} bodies ended, {len(self.stage.strikes)} faults")


def execute(options: argparse.Namespace) -> Results:
    """Make faults for as long as the *options* say, and look what came of it."""
    with house(options.database) as (database, guard, _), tempfile.TemporaryDirectory() as folder:
        keep = options.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        with Stage(database, keep, guard, hosts=options.hosts, LEASE=LEASE) as stage:
            teller = Teller(stage)
            threading.Thread(target=teller.run, daemon=True).start()
            stage.produce(options.seed, options.pause)
            storm = Storm(stage, options.seed, teller.say, only=options.only, calm=options.calm)
            storm.rage(options.minutes * 60)
            teller.say("enough; now all jobs have to come to their end")
            failure = stage.try_to_finish()
            teller.over.set()
        found = results(stage, about(options))
    found.verdict.violations += failure
    return found


def about(options: argparse.Namespace) -> dict[str, object]:
    command = ["python", "-m", "tests.chaos", f"--minutes={options.minutes:g}"]
    command += [f"--seed={options.seed}", f"--database={options.database}"]
    command += [f"--only={name}" for name in options.only or ()]
    command += ["--calm"] * options.calm
    command += [f"--pause={options.pause:g}"] * (options.pause != PAUSE)
    return about_this(
        options.database,
        command=shlex.join(command),
        seed=options.seed,
        minutes=options.minutes,
        hosts=options.hosts,
        lease=f"{LEASE} s",
    )


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["report"]:
        report(*arguments[1:])
        return 0
    options = options_of(arguments)
    print(f"seed {options.seed}", flush=True)
    found = execute(options)
    if options.output:
        found.write(options.output)
    print(f"\n{table(found)}\n\n{summary(found)}\n")
    print(f"{happenings(found)}\n")
    for violation in found.verdict.violations:
        print(violation)
    return 1 if found.verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
