"""The pages of the documentation, and the blocks of code in them.

A block of Python is run, after those above it on its page and in one namespace with them.
Three marks change that, each a line of its own, seen in the source and not on the page:

- ``# shop/jobs.py`` as the first line of a block: it is run in the module of this path.
- ``<!-- settings -->`` before a block: it is read as settings, and its ``JOBFLOW`` is checked.
- ``<!-- not run: why -->`` before a block: it is only parsed.
"""

import re
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parent.parent.parent
DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"

PAGES = sorted({README, *DOCS.rglob("*.md")} - set((DOCS / "_build").rglob("*")))

FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
MODULE = re.compile(r"# (?P<path>[\w/]+)\.py\n")


class Block(NamedTuple):
    """A fenced block: what it holds, where it stands, and how it is marked."""

    language: str
    code: str
    page: Path
    line: int
    mark: str

    @property
    def module(self) -> str | None:
        """The dotted name of the module that it is run in, if it names one."""
        found = MODULE.match(self.code)
        return found["path"].replace("/", ".") if found else None

    @property
    def padded(self) -> str:
        """Its code at its own lines of the page, so that a traceback leads there."""
        return "\n" * self.line + self.code


def title(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            language=found["language"],
            code=found["code"],
            page=page,
            line=text.count("\n", 0, found.start("code")),
            mark=found["mark"] or "",
        )
        for found in FENCE.finditer(text)
    ]


def python_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python"]


def shell_lines(page: Path) -> list[str]:
    """The commands that a page shows."""
    return [
        line.removeprefix("$ ")
        for block in blocks(page)
        if block.language in {"console", "sh", "shell", "bash"}
        for line in block.code.splitlines()
        if line
    ]
