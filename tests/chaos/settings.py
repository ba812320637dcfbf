"""Settings of the processes of a chaos run; the run itself needs no Django."""

import environ

env = environ.Env()

DATABASES_VARIABLE = "CHAOS_DATABASES"
JOBFLOW_VARIABLE = "CHAOS_JOBFLOW"

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = env.json(DATABASES_VARIABLE, default={})
JOBFLOW = env.json(JOBFLOW_VARIABLE, default={})
INSTALLED_APPS = ["django_jobflow", "tests.chaos"]
