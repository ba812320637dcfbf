"""What a run of the shop needs around it: the gateway, the mail server, and a worker."""

from contextlib import ExitStack
from pathlib import Path

from django.conf import settings

from shop.demo.processes import Process
from shop.servers.gateway import Faults, Gateway
from shop.servers.mail import MailServer

SLOTS = 16  # threads of the worker, which mostly wait for the gateway and the mail server


class Services:
    """The gateway and the mail server, each on a free port, between ``with`` and its end."""

    def __init__(self, *, outbox: Path) -> None:
        self.gateway = Gateway(faults=Faults())
        self.mail = MailServer(outbox=outbox)
        self._stack = ExitStack()

    def __enter__(self) -> "Services":
        with ExitStack() as stack:
            stack.enter_context(self.gateway)
            stack.enter_context(self.mail)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """What tells a worker where they are."""
        return {
            "GATEWAY_URL": self.gateway.url,
            "SMTP_HOST": self.mail.host,
            "SMTP_PORT": str(self.mail.port),
        }

    def worker(self, *, threads: int = SLOTS) -> Process:
        """Return a worker that is to work with these services."""
        return Process(
            "runjobs",
            f"--threads={threads}",
            "--verbosity=0",  # a line for each failed attempt, and none for the others
            environment=self.environment | {"DEBUG": "0", "SECRET_KEY": settings.SECRET_KEY},
            log=settings.VAR_DIR / "worker.log",
        )
