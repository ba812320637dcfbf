import pytest

from django_jobflow.fingerprints import FORM_LIMIT, fingerprint, form

FORMS = [
    ("Order 7 is gone.", "Order # is gone."),
    ("Order 1234567 is gone.", "Order # is gone."),
    ("order-7f3a of 12.50 EUR at 09:30", "order-# of # EUR at #"),
    ("Rows [1, 2, 3] are locked", "Rows [#] are locked"),
    ("Rows [4] are locked", "Rows [#] are locked"),
    ("No user 'zoë@shop.example' here", "No user '…' here"),
    ('Field "name" can\'t be empty', "Field '…' can't be empty"),
    ("id abcdefab-cdef-abcd-efab-cdefabcdefab", "id #"),
    ("<Order object at 0x7f3a5c>", "<Order object at #>"),
    ("two\n  lines ", "two lines"),
    ("", ""),
]


class FormTests:
    @pytest.mark.parametrize(("message", "expected"), FORMS)
    def test_what_differs_is_left_out(self, message, expected):
        assert expected == form(message)

    def test_form_of_a_form_is_itself(self):
        for message, _ in FORMS:
            assert form(message) == form(form(message))

    def test_end_of_a_long_message_tells_nothing(self):
        """Neither does that of one which was cut: both are of one kind."""
        message = "word " * 5_000

        assert form(message) == form(message[:500])
        assert FORM_LIMIT == len(form(message))


class FingerprintTests:
    def test_class_place_and_form_tell_failures_apart(self):
        told = ("builtins.ValueError", "shop.mail:send", "No 1")
        others = [
            ("builtins.KeyError", "shop.mail:send", "No 1"),
            ("builtins.ValueError", "shop.mail:take", "No 1"),
            ("builtins.ValueError", "shop.mail:send", "No one"),
            ("builtins.ValueErrors", "hop.mail:send", "No 1"),
        ]

        digest = fingerprint(*told).digest

        assert 32 == len(digest)
        assert digest == fingerprint("builtins.ValueError", "shop.mail:send", "No 2").digest
        assert digest not in {fingerprint(*other).digest for other in others}
