"""A mail server: takes everything over SMTP, delivers nothing, and keeps it in a folder."""

import asyncio
import threading
from collections import Counter
from email import message_from_bytes
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session


class MailServer:
    """The mail server on a port of this machine; runs in a thread, between ``with`` and its end.

    Attributes:
        received: Mails by Message-ID; more than 1 is a second copy.
        recipients: Mails by the address that they were sent to.
        outbox: Folder with each mail in a file of its own; None keeps none.
        port: Where it listens.
    """

    host = "127.0.0.1"

    def __init__(self, *, port: int = 0, outbox: Path | None = None) -> None:
        self.port = port
        self.outbox = outbox
        self.received: Counter[str] = Counter()
        self.recipients: Counter[str] = Counter()
        self._kept = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "MailServer":
        if self.outbox:
            self.outbox.mkdir(parents=True, exist_ok=True)
            self._kept = sum(1 for _ in self.outbox.glob("*.eml"))
        self._thread.start()
        self._server = self._call(
            self._loop.create_server(self._session, self.host, self.port, backlog=128)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exception: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take one mail; aiosmtpd calls this."""
        content = envelope.original_content or b""
        message_id = str(message_from_bytes(content)["Message-ID"])
        self.received[message_id] += 1
        self.recipients.update(envelope.rcpt_tos)
        if self.outbox:
            self._kept += 1
            (self.outbox / f"{self._kept:05}.eml").write_bytes(content)
        return "250 Kept"

    def _session(self) -> SMTP:
        return SMTP(self, loop=self._loop, hostname="mail.tea.example")

    async def _close(self) -> None:
        self._server.close()
        sessions = asyncio.all_tasks() - {asyncio.current_task()}
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)
