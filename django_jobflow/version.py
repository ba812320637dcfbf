"""The version of the package, for all rooms; its public name is ``__version__``."""

__version__ = "0.1.0"
