"""Settings of the example shop; what differs from place to place comes from the environment."""

from pathlib import Path
from urllib.parse import quote

import django
from environ import Env

env = Env()

BASE_DIR = Path(__file__).resolve().parent.parent
# Everything that is written at run time.
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var")))
VAR_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = env.str("SECRET_KEY", default="for-development-only" if DEBUG else Env.NOTSET)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "testserver"])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "django_jobflow",
    "shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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

ROOT_URLCONF = "config.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
MEDIA_ROOT = VAR_DIR / "uploads"  # never served: an uploaded file is read by a job only

# Database

SQLITE_FILE = VAR_DIR / "demo.sqlite3"
DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{quote(str(SQLITE_FILE))}")}

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A write takes its lock at BEGIN and waits for it, and readers never wait.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds
        "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
    }

# Jobs

JOBFLOW = {
    "QUEUES": {"imports": {}, "orders": {}, "payments": {}, "email": {}},
}

# The two servers that the jobs talk to; `demo` and `serve` start them

GATEWAY_URL = env.str("GATEWAY_URL", default="http://127.0.0.1:8090")
GATEWAY_TIMEOUT = env.float("GATEWAY_TIMEOUT", default=1.0)  # seconds

DEFAULT_FROM_EMAIL = "The Tea Shop <shop@tea.example>"
SMTP = {
    "host": env.str("SMTP_HOST", default="127.0.0.1"),
    "port": env.int("SMTP_PORT", default=8025),
    "timeout": 5,  # seconds
}

if django.VERSION >= (6, 1):
    MAILERS = {
        "default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": SMTP}
    }
else:
    EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = SMTP["host"], SMTP["port"], SMTP["timeout"]
