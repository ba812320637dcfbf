"""The example in one command: a file of orders goes through the shop, and is counted."""

from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from shop.demo import database, figures, report, serving
from shop.demo.processes import ended_by_signals
from shop.demo.progress import work_off
from shop.demo.services import SLOTS, Services
from shop.imports import start_import
from shop.order_files import BadOrderFile, check_order_file


class Command(BaseCommand):
    """Parse the options, then prepare, work, report."""

    help = (
        "Import a file of orders into a fresh database, work it off with a real worker against "
        "a real payment gateway and mail server, and show what became of it."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser):
        """Add what can be varied."""
        default = settings.BASE_DIR / "data" / "orders.csv"
        parser.add_argument("--file", type=Path, default=default, help="another CSV of orders")
        parser.add_argument("--threads", type=int, default=SLOTS, help=f"default {SLOTS}")
        parser.add_argument("--serve", action="store_true", help="stay open afterwards")
        parser.add_argument("--port", type=int, default=serving.PORT, help="of the page")
        parser.add_argument(
            "--flush", action="store_true", help="delete what is in the database of DATABASE_URL"
        )

    def handle(self, *, file, threads, serve, port, flush, **options):
        """Run the demo."""
        console = Console()
        content, rows = self._read(file)
        try:
            with ended_by_signals(), database.only_one_here():
                database.make_fresh(flush=flush)
                outbox = settings.VAR_DIR / "outbox"
                database.empty_folder(outbox, "*.eml")
                with Services(outbox=outbox) as services:
                    self._work(services, file.name, content, rows, threads, console)
                    self._report(services, rows, console)
                    if serve:
                        serving.serve(services, port=port, console=console)
            serving.tell_how(console)
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=130) from None

    def _read(self, file):
        try:
            content = file.read_bytes()
            return content, check_order_file(content)
        except (OSError, BadOrderFile) as error:
            raise CommandError(f"{file}: {error}") from error

    def _work(self, services, name, content, rows, threads, console):
        console.print(f"{name}: {rows:,} orders")
        start_import(name, content)
        with services.worker(threads=threads) as worker:
            work_off(worker, rows, console)
            if code := worker.stop():
                raise CommandError(f"The worker ended with {code}:\n{worker.last_words()}")

    def _report(self, services, rows, console):
        report.show_work(console, figures.work_figures())
        found = figures.checks(rows, services.gateway, services.mail)
        report.show_checks(console, found, services.gateway)
        report.show_problems(console)
        if broken := [check.claim for check in found if not check.holds]:
            raise CommandError(f"This does not hold: {'; '.join(broken)}.")
