"""Settings of the tests, and of the worker processes that tests start."""

import environ

from tests import databases

env = environ.Env()

SECRET_KEY = "only-for-tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = databases.django_databases()
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher"
]  # quick, and nothing is at stake

# What a test wants of the workers that it starts, as JSON.
JOBFLOW = env.json("JOBFLOW_TEST_SETTINGS", default={})

TASKS = {
    "default": {
        "BACKEND": "django_jobflow.tasks.JobflowBackend",
        "QUEUES": ["default", "email"],
        "OPTIONS": {"modules": ["shop"]},  # of the pages of the documentation
    },
    "any": {"BACKEND": "django_jobflow.tasks.JobflowBackend", "QUEUES": []},
    "elsewhere": {
        "BACKEND": "django_jobflow.tasks.JobflowBackend",
        "OPTIONS": {"database": "other", "modules": ["strange"]},
    },
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_jobflow",
    "tests.app",
]

MIDDLEWARE = [
    "tests.policy.strict_policy",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
