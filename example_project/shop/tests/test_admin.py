from django.contrib.auth import get_user_model
from django.test import TestCase
from django.urls import reverse

from shop.models import ImportedRow, Order
from shop.tests.orders import GOOD_ROW, make_order, make_row


class AdminTestCase(TestCase):
    def setUp(self):
        user = get_user_model().objects.create_superuser("admin", "admin@tea.example", "admin")
        self.client.force_login(user)


class ImportedRowAdminTests(AdminTestCase):
    def test_list_can_be_cut_down_to_the_rows_to_mend(self):
        bad = make_row(problem="city: expected a value, got nothing.")
        make_row(bad.file, line=3, order_number="A-3")

        address = reverse("admin:shop_importedrow_changelist")
        found = {
            choice: list(self.client.get(address, {"problem": choice}).context["cl"].queryset)
            for choice in ("yes", "no")
        }

        self.assertEqual({"yes": [bad], "no": [ImportedRow.objects.get(line=3)]}, found)

    def test_row_is_mended(self):
        row = make_row(email="zoe@", problem="email: ...", job_id=7)
        address = reverse("admin:shop_importedrow_change", args=[row.pk])

        page = self.client.get(address)
        self.client.post(address, GOOD_ROW | {"surplus": ""})

        row.refresh_from_db()
        self.assertContains(page, reverse("admin:jobflow_failedjob_change", args=[7]))
        self.assertEqual(GOOD_ROW["email"], row.email)

    def test_rows_are_not_added_by_hand(self):
        response = self.client.get(reverse("admin:shop_importedrow_add"))

        self.assertEqual(403, response.status_code)


class OrderAdminTests(AdminTestCase):
    def test_address_is_open_until_the_order_is_paid(self):
        order = make_order()
        address = reverse("admin:shop_order_change", args=[order.pk])
        fields = ("name", "email", "street", "city", "postcode", "country")

        self.client.post(address, {field: GOOD_ROW[field] for field in fields} | {"city": "Bonn"})
        Order.objects.update(state="PAID", charge_id="ch_1", paid_at=order.placed_at)
        self.client.post(address, {field: GOOD_ROW[field] for field in fields} | {"city": "Rom"})

        order.refresh_from_db()
        self.assertEqual(("Bonn", "7.90"), (order.city, str(order.unit_price)))

    def test_lists_are_shown(self):
        make_order(row=make_row())
        for model in ("order", "orderfile", "importedrow"):
            with self.subTest(model=model):
                response = self.client.get(reverse(f"admin:shop_{model}_changelist"))

                self.assertEqual(200, response.status_code)
