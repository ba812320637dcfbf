from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase
from django.urls import reverse

from django_jobflow.models import JobRecord
from shop.forms import LARGEST_FILE
from shop.models import ImportedRow, Order, OrderFile
from shop.tests.orders import GOOD_ROW, make_csv, make_file, make_order, make_row

FORM = {
    field: GOOD_ROW[field]
    for field in ("name", "email", "street", "city", "postcode", "country", "sku", "quantity")
}


class IndexTests(TestCase):
    def test_page_of_an_empty_shop(self):
        response = self.client.get(reverse("index"))

        self.assertContains(response, "There are none yet.")

    def test_latest_orders_are_shown_with_their_state(self):
        make_order()
        make_order(number="A-2", state="REFUSED", refusal="No such bank.")
        paid = {"state": "PAID", "charge_id": "ch_1", "paid_at": "2026-08-03T12:00:00Z"}
        make_order(number="A-3", receipt_sent_at="2026-08-03T12:00:00Z", **paid)

        response = self.client.get(reverse("index"))

        for text in ("waiting for payment", "No such bank.", "paid, receipt sent", "15.80 EUR"):
            self.assertContains(response, text)

    def test_what_customers_write_is_escaped(self):
        make_order(name="<script>alert(1)</script>")

        response = self.client.get(reverse("index"))

        self.assertNotContains(response, "<script>")
        self.assertContains(response, "&lt;script&gt;alert(1)&lt;/script&gt;")

    def test_number_of_statements_does_not_grow(self):
        file = make_file()
        for line in range(2, 40):
            make_order(number=f"A-{line}", row=make_row(file, line))

        with self.assertNumQueries(3):
            self.client.get(reverse("index"))

    def test_rows_to_mend_are_counted_and_linked(self):
        row = make_row(problem="city: expected a value, got nothing.")
        make_row(row.file, line=3)

        response = self.client.get(reverse("index"))

        self.assertContains(response, "2 of 3 rows read")
        self.assertContains(response, f"?file__id__exact={row.file.pk}&amp;problem=yes")
        self.assertContains(response, "1 to mend")


class PlaceOrderTests(TestCase):
    def test_order_and_its_job_are_stored(self):
        response = self.client.post(reverse("place-order"), FORM, follow=True)

        order, record = Order.objects.get(), JobRecord.objects.get()
        self.assertEqual(("Zoë Müller", "15.80 EUR"), (order.name, order.total_text))
        self.assertEqual(
            ("shop.jobs.ChargeOrder", {"order_id": order.pk}), (record.name, record.kwargs)
        )
        self.assertContains(response, f"Thank you. Order {order.number} is on its way to be paid.")

    def test_wrong_order_is_shown_again_and_nothing_stored(self):
        wrong = FORM | {"email": "zoe@", "quantity": "0", "sku": "COFFEE"}

        response = self.client.post(reverse("place-order"), wrong)

        self.assertContains(response, "The order was not placed", status_code=422)
        self.assertContains(response, "Enter a valid email address.", status_code=422)
        self.assertContains(response, 'value="zoe@"', status_code=422)
        self.assertEqual((0, 0), (Order.objects.count(), JobRecord.objects.count()))

    def test_name_of_two_lines_is_refused(self):
        response = self.client.post(reverse("place-order"), FORM | {"name": "Zoë\nBcc: x@y.z"})

        self.assertContains(response, "Write it on one line.", status_code=422)

    def test_reading_is_no_way_to_order(self):
        self.assertEqual(405, self.client.get(reverse("place-order")).status_code)


class UploadOrdersTests(TestCase):
    def upload(self, content: bytes, **options):
        file = SimpleUploadedFile("August <1>.csv", content)
        return self.client.post(reverse("upload-orders"), {"file": file}, **options)

    def test_file_is_kept_and_its_import_enqueued(self):
        response = self.upload(make_csv({}, {"order_number": "A-2"}), follow=True)

        self.assertContains(response, "August &lt;1&gt;.csv: 2 orders to import.")
        self.assertEqual("shop.jobs.ImportOrders", JobRecord.objects.get().name)
        self.assertEqual(0, ImportedRow.objects.count())

    def test_malformed_file_is_told_and_not_kept(self):
        for content, told in (
            (b"", "The submitted file is empty."),
            (b"\xff\xfe", "The file is not UTF-8: line 1 holds the byte 0xff."),
            (b"name;email\n", "The header lacks &#x27;order_number&#x27;, &#x27;placed_at&#x27;"),
            (make_csv(), "The file has a header and no orders."),
        ):
            with self.subTest(told=told):
                response = self.upload(content)

                self.assertContains(response, told, status_code=422)
                self.assertEqual((0, 0), (OrderFile.objects.count(), JobRecord.objects.count()))

    def test_huge_file_is_refused(self):
        response = self.upload(b"x" * (LARGEST_FILE + 1))

        self.assertContains(
            response, "The file has 10,485,761 bytes. It may have at most", status_code=422
        )

    def test_no_file_at_all(self):
        response = self.client.post(reverse("upload-orders"))

        self.assertContains(response, "This field is required.", status_code=422)
