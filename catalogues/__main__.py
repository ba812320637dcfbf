"""``python -m catalogues update|check|compile [LANGUAGE ...]``."""

import sys

from django.conf import settings

from catalogues.building import compile_catalogues
from catalogues.checking import problems
from catalogues.extracting import PACKAGE, said
from catalogues.updating import LANGUAGES, path_of, read, update


def main(arguments: list[str]) -> int:
    """Do what is said; return the exit code: 1 where a check has found something."""
    action, *languages = arguments or ["check"]
    known = languages or LANGUAGES
    if action not in {"update", "check", "compile"} or not set(known) <= {*LANGUAGES}:
        print(f"{__doc__}\nLanguages: {', '.join(LANGUAGES)}", file=sys.stderr)
        return 2
    settings.configure(USE_I18N=True)  # which reading a template asks for
    if action == "compile":
        compile_catalogues(PACKAGE.parent)
        return 0
    if action == "update":
        for language in known:
            print(path_of(language), "changed" if update(language) else "stays")
        return 0
    found = [(language, each) for language in known for each in problems(read(language), said())]
    for language, each in found:
        print(f"{language}: {each}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
