"""One Django project for our own jobs and for the peers that are made for Django."""

import json
import os

from benchmarks.databases import Database

SECRET_KEY = "only-for-benchmarks"
DEBUG = False
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": Database.from_environment().django()}

# What the side that is measured adds, as JSON.
_side = json.loads(os.environ.get("BENCHMARK_DJANGO", "{}"))

_database = DATABASES["default"]
_database["OPTIONS"] = _database["OPTIONS"] | _side.get("OPTIONS", {})
INSTALLED_APPS = ["benchmarks.project", *_side.get("apps", [])]
TASKS = _side.get("TASKS", {})
JOBFLOW = _side.get("JOBFLOW", {})
DATABASE_ROUTERS = _side.get("DATABASE_ROUTERS", [])

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"errors": {"class": "logging.StreamHandler", "level": "WARNING"}},
    "root": {"handlers": ["errors"], "level": "WARNING"},
}
