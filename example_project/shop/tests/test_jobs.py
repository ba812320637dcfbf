from email import message_from_bytes, policy

from django.core import mail
from django.test import TestCase

from django_jobflow import Discard, JobContext
from django_jobflow.models import JobRecord
from shop.imports import start_import
from shop.jobs import ChargeOrder, ImportOrders, ProcessOrder, SendReceipt
from shop.models import ImportedRow, Order, OrderFile
from shop.order_files import BadOrderFile
from shop.payments import GatewayUnavailable
from shop.servers.gateway import NO_FAULTS, Faults
from shop.tests.orders import make_csv, make_file, make_order, make_row
from shop.tests.test_payments import gateway

CONTEXT = JobContext(job_id=7)


def enqueued(job) -> list[dict]:
    """Return the arguments of the records of *job*."""
    records = JobRecord.objects.filter(name=job.definition().name).order_by("pk")
    return [record.kwargs for record in records]


class StartImportTests(TestCase):
    def test_file_is_kept_and_its_import_enqueued(self):
        order_file = start_import("../August.csv", make_csv({}, {"order_number": "A-2"}))

        self.assertEqual(("August.csv", 2), (order_file.name, order_file.row_count))
        self.assertEqual([{"order_file_id": order_file.pk}], enqueued(ImportOrders))

    def test_malformed_file_writes_nothing(self):
        with self.assertRaises(BadOrderFile):
            start_import("orders.csv", b"name\nZoe\n")

        self.assertEqual((0, 0), (OrderFile.objects.count(), JobRecord.objects.count()))


class ImportOrdersTests(TestCase):
    def setUp(self):
        rows = [{"order_number": f"A-{number}"} for number in range(600)]
        self.file = make_file(make_csv(*rows), row_count=600)

    def test_each_row_is_stored_and_has_a_job(self):
        result = ImportOrders.run(CONTEXT, order_file_id=self.file.pk)

        numbers = list(self.file.rows.values_list("order_number", flat=True))
        row_ids = [{"row_id": pk} for pk in self.file.rows.values_list("pk", flat=True)]
        self.assertEqual([f"A-{number}" for number in range(600)], numbers)
        self.assertEqual(row_ids, enqueued(ProcessOrder))
        self.assertEqual({"rows": 600}, result)

    def test_import_that_was_cut_short_goes_on_where_it_stopped(self):
        ImportOrders.run(CONTEXT, order_file_id=self.file.pk)
        self.file.rows.filter(line__gt=251).delete()
        JobRecord.objects.all().delete()

        ImportOrders.run(CONTEXT, order_file_id=self.file.pk)

        self.assertEqual((600, 350), (self.file.rows.count(), len(enqueued(ProcessOrder))))

    def test_second_execution_adds_nothing(self):
        for _ in range(2):
            ImportOrders.run(CONTEXT, order_file_id=self.file.pk)

        self.assertEqual((600, 600), (self.file.rows.count(), len(enqueued(ProcessOrder))))

    def test_file_that_was_spoilt_since_is_discarded(self):
        spoilt = make_file(b"\xff", name="spoilt.csv")

        with self.assertRaises(Discard) as caught:
            ImportOrders.run(CONTEXT, order_file_id=spoilt.pk)

        self.assertEqual(
            "spoilt.csv: The file is not UTF-8: line 1 holds the byte 0xff. "
            "Save it as UTF-8 and try again.",
            str(caught.exception),
        )


class ProcessOrderTests(TestCase):
    def setUp(self):
        self.gateway = self.enterContext(gateway())

    def process(self, row: ImportedRow) -> dict:
        with self.captureOnCommitCallbacks(execute=True):
            return ProcessOrder.run(CONTEXT, row_id=row.pk)

    def test_good_row_becomes_an_order_that_is_paid(self):
        row = make_row()

        result = self.process(row)

        order = Order.objects.get()
        self.assertEqual({"order": "A-1", "charge": "ch_000001"}, result)
        self.assertEqual(
            (row, "A-1", "Zoë Müller", "PAID"),
            (order.row, order.number, order.name, order.state),
        )
        self.assertEqual([{"order_id": order.pk}], enqueued(SendReceipt))

    def test_second_execution_is_no_second_order(self):
        row = make_row()

        results = [self.process(row), self.process(row)]

        self.assertEqual([{"order": "A-1", "charge": "ch_000001"}] * 2, results)
        self.assertEqual(
            (1, 1, 1),
            (
                Order.objects.count(),
                self.gateway.ledger.counts["charged"],
                len(enqueued(SendReceipt)),
            ),
        )

    def test_gateway_that_is_down_leaves_an_order_to_be_paid(self):
        row = make_row()
        self.gateway.faults = Faults(unavailable=1)
        with self.assertRaises(GatewayUnavailable):
            self.process(row)
        self.gateway.faults = NO_FAULTS
        states = [Order.objects.get().state]

        self.process(row)

        states.append(Order.objects.get().state)
        self.assertEqual((["PLACED", "PAID"], ""), (states, row.problem))

    def test_bad_row_is_discarded_with_all_that_is_wrong(self):
        row = make_row(email="zoe@", city="")

        with self.assertRaises(Discard) as caught:
            self.process(row)

        problem = (
            "email: expected an address such as name@example.org, got 'zoe@'. "
            "city: expected a value, got nothing."
        )
        row.refresh_from_db()
        self.assertEqual(
            f"line 2 of orders.csv: {problem} "
            f"Mend row {row.pk} in the admin, then retry this job.",
            str(caught.exception),
        )
        self.assertEqual((problem, 7, 0), (row.problem, row.job_id, Order.objects.count()))

    def test_mended_row_is_taken(self):
        row = make_row(email="zoe@")
        with self.assertRaises(Discard):
            self.process(row)
        ImportedRow.objects.update(email="zoe@mail.example")

        self.process(row)

        row.refresh_from_db()
        self.assertEqual(
            ("", None, "zoe@mail.example"), (row.problem, row.job_id, row.order.email)
        )

    def test_second_row_of_an_order_number_is_discarded(self):
        first = make_row()
        second = make_row(first.file, line=9, name="Somebody Else")
        self.process(first)

        with self.assertRaises(Discard) as caught:
            self.process(second)

        self.assertEqual(
            "line 9 of orders.csv: order_number: A-1 was already taken from line 2 of "
            f"orders.csv. Mend row {second.pk} in the admin, then retry this job.",
            str(caught.exception),
        )
        self.assertEqual(("Zoë Müller", 1), (Order.objects.get().name, len(enqueued(SendReceipt))))

    def test_order_number_of_the_page_is_taken_too(self):
        make_order()

        with self.assertRaisesMessage(Discard, "A-1 was already taken from the page of the shop."):
            self.process(make_row())

    def test_surplus_is_a_problem_of_its_own(self):
        with self.assertRaisesMessage(Discard, "values beyond its last column: 'EUR'."):
            self.process(make_row(surplus="EUR"))


class ChargeOrderTests(TestCase):
    def charge(self, order: Order) -> dict:
        with self.captureOnCommitCallbacks(execute=True):
            return ChargeOrder.run(CONTEXT, order_id=order.pk)

    def test_order_is_paid_and_its_receipt_enqueued_after_the_commit(self):
        order = make_order()
        with gateway(), self.captureOnCommitCallbacks() as callbacks:
            result = ChargeOrder.run(CONTEXT, order_id=order.pk)

        order.refresh_from_db()
        self.assertEqual(
            ({"order": "A-1", "charge": "ch_000001"}, []), (result, enqueued(SendReceipt))
        )
        self.assertEqual(("PAID", "ch_000001"), (order.state, order.charge_id))
        for callback in callbacks:
            callback()
        self.assertEqual([{"order_id": order.pk}], enqueued(SendReceipt))

    def test_second_execution_charges_nothing_and_enqueues_one_receipt(self):
        order = make_order()
        with gateway() as server:
            results = [self.charge(order), self.charge(order)]

        self.assertEqual([{"order": "A-1", "charge": "ch_000001"}] * 2, results)
        self.assertEqual((1, 1), (server.ledger.counts["charged"], len(enqueued(SendReceipt))))

    def test_gateway_that_is_down_leaves_the_order_as_it_was(self):
        order = make_order()
        with gateway(unavailable=1), self.assertRaises(GatewayUnavailable):
            self.charge(order)

        order.refresh_from_db()
        self.assertEqual(("PLACED", ""), (order.state, order.charge_id))

    def test_refused_payment_is_discarded_and_told_on_the_order(self):
        order = make_order()
        with gateway() as server:
            server.ledger.charge("order-A-1", "A-1", 1, "EUR")
            with self.assertRaises(Discard) as caught:
                self.charge(order)

        refusal = (
            'The gateway answered 409: {"error": "The idempotency key \'order-A-1\' belongs to '
            'another charge."}'
        )
        order.refresh_from_db()
        self.assertEqual(f"Order A-1: {refusal}", str(caught.exception))
        self.assertEqual(("REFUSED", refusal), (order.state, order.refusal))

    def test_yen_are_charged_whole(self):
        order = make_order(currency="JPY", unit_price=1288)
        with gateway() as server:
            self.charge(order)

        (charge,) = server.ledger.charges.values()
        self.assertEqual((2576, "JPY"), (charge.amount, charge.currency))


class SendReceiptTests(TestCase):
    def paid_order(self, **values: object) -> Order:
        paid = {"state": "PAID", "charge_id": "ch_1", "paid_at": "2026-08-03T12:00:00Z"}
        return make_order(**(paid | values))

    def test_receipt_goes_out_once(self):
        order = self.paid_order()

        for _ in range(2):
            result = SendReceipt.run(CONTEXT, order_id=order.pk)

        order.refresh_from_db()
        (receipt,) = mail.outbox
        self.assertEqual({"to": "zoe.mueller@mail.example"}, result)
        self.assertTrue(order.is_receipted)
        self.assertEqual(
            ("Your receipt for order A-1", "<receipt-A-1@tea.example>"),
            (receipt.subject, receipt.message()["Message-ID"]),
        )
        self.assertIn("2 x Assam Mokalbari, 100 g at 7.90 EUR", receipt.body)
        self.assertIn("Paid: 15.80 EUR (charge ch_1)", receipt.body)

    def test_receipt_is_addressed_in_any_script(self):
        order = self.paid_order(name='山田 "太郎", Ltd <a@b.c>', email="taro@büro.example")

        SendReceipt.run(CONTEXT, order_id=order.pk)

        sent = message_from_bytes(mail.outbox[0].message().as_bytes(), policy=policy.default)
        (address,) = sent["To"].addresses
        self.assertEqual(
            (order.name, "taro@xn--bro-hoa.example"), (address.display_name, address.addr_spec)
        )
