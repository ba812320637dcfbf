from django.core.management import CommandError
from django.test import SimpleTestCase, TestCase

from shop.demo.figures import checks, percentile
from shop.demo.progress import PATIENCE, Counts, Watch
from shop.servers.gateway import Gateway
from shop.servers.mail import MailServer
from shop.tests.orders import make_order, make_row


class PercentileTests(SimpleTestCase):
    def test_it_is_the_value_that_so_many_do_not_exceed(self):
        values = range(1, 101)

        self.assertEqual([50, 95, 100], [percentile(values, part) for part in (50, 95, 100)])

    def test_of_few_values(self):
        self.assertEqual([0, 7, 7], [percentile(v, 95) for v in ([], [7], [3, 7])])


class CountsTests(SimpleTestCase):
    def test_what_fails_has_no_followers(self):
        counts = Counts(succeeded=20, failed={"shop.jobs.ProcessOrder": 3}, unfinished=2)

        self.assertEqual((23, 1 + 200 - 3), (counts.done, counts.expected(rows=100)))

    def test_failed_import_is_all_there_will_be(self):
        counts = Counts(succeeded=0, failed={"shop.jobs.ImportOrders": 1}, unfinished=0)

        self.assertEqual(1, counts.expected(rows=100))


class WorkerStub:
    has_ended = False

    def last_words(self) -> str:
        return "No database."


class WatchTests(SimpleTestCase):
    def setUp(self):
        self.now = 0.0
        self.worker = WorkerStub()
        self.watch = Watch(self.worker, clock=lambda: self.now)

    def test_standstill_is_told(self):
        self.watch.look(1)
        self.now += PATIENCE
        self.watch.look(2)
        self.now += PATIENCE
        self.watch.look(2)
        self.now += 1

        with self.assertRaisesMessage(CommandError, "No job has ended for 60 seconds:"):
            self.watch.look(2)

    def test_dead_worker_is_told_with_its_last_words(self):
        self.worker.has_ended = True

        with self.assertRaises(CommandError) as caught:
            self.watch.look(1)

        self.assertEqual("The worker has ended by itself:\nNo database.", str(caught.exception))


class ChecksTests(TestCase):
    PAID = {"state": "PAID", "charge_id": "ch_000001", "paid_at": "2026-08-03T12:00:00Z"}

    def setUp(self):
        self.gateway, self.mail = Gateway(), MailServer()
        self.addCleanup(self.gateway.server_close)
        self.addCleanup(self.mail._loop.close)

    def verdicts(self) -> list[bool]:
        return [check.holds for check in checks(1, self.gateway, self.mail)]

    def test_books_that_agree(self):
        receipted = {"receipt_sent_at": "2026-08-03T12:00:00Z"}
        make_order(row=make_row(), **self.PAID, **receipted)
        self.gateway.ledger.charge("order-A-1", "A-1", 1580, "EUR")
        self.mail.received["<receipt-A-1@tea.example>"] += 1

        self.assertEqual([True] * 4, self.verdicts())

    def test_second_charge_and_second_mail_are_noticed(self):
        self.test_books_that_agree()
        self.gateway.ledger.charge("another key", "A-1", 1580, "EUR")
        self.mail.received["<receipt-A-1@tea.example>"] += 1

        self.assertEqual([True, False, False, True], self.verdicts())

    def test_row_and_order_that_were_lost_are_noticed(self):
        make_row()
        make_order()

        self.assertEqual([False, True, True, False], self.verdicts())
