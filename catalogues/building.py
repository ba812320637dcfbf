"""Compiles the catalogues where the package is built, installed as editable, or tested.

It is loaded by hatchling from its file, so it imports nothing of its neighbours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PATTERN = "django_jobflow/locale/*/LC_MESSAGES/django.po"


def compile_catalogues(root: Path) -> list[Path]:
    """Write a ``.mo`` file beside each catalogue that is younger than its own; return all."""
    return [_compiled(source) for source in sorted(root.glob(PATTERN))]


def _compiled(source: Path) -> Path:
    target = source.with_suffix(".mo")
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return target
    with source.open("rb") as file:
        catalogue = read_po(file, locale=source.parent.parent.name, abort_invalid=True)
    new = target.with_suffix(".mo.new")  # or another process might read half of it
    with new.open("wb") as file:
        write_mo(file, catalogue)
    return new.replace(target)


class CatalogueHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled catalogues to the wheel; the source distribution has their sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel":
            root = Path(self.root)
            compiled = compile_catalogues(root)
            build_data["artifacts"] += [path.relative_to(root).as_posix() for path in compiled]
