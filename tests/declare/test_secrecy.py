import pytest

from django_jobflow import InvalidJob, job
from django_jobflow.arguments import HIDDEN
from django_jobflow.declare.secrecy import secrecy_of
from tests.declare.declaring import PLACE, declare


def charge(self, order_id, card, /, amount, *, cvc="", copy_to=None): ...


def charge_some(self, order_id, *cards, amount=0, **details): ...


def hidden_by(job, *args, **kwargs):
    """Return which of these arguments are hidden, by position and by name."""
    args, kwargs = job._secrecy().masked(list(args), kwargs)
    found = [*enumerate(args), *kwargs.items()]
    return [key for key, value in found if value is HIDDEN]


class HidesTests:
    def test_argument_is_hidden_by_its_name_however_it_is_passed(self):
        job = declare(perform=charge, sensitive={"card", "amount", "cvc"})

        assert [1, 2] == hidden_by(job, 1, "4111", 9)
        assert [1, "amount", "cvc"] == hidden_by(job, 1, "4111", amount=9, cvc="1", copy_to="x")

    def test_job_that_names_nothing_hides_nothing(self):
        job = declare(perform=charge)

        assert [] == hidden_by(job, 1, "4111", amount=9, cvc="1")
        assert (False, False) == (job._secrecy().hides_anything, job._secrecy().hides_result)

    def test_true_hides_all_and_the_result(self):
        secrecy = declare(perform=charge, sensitive=True)._secrecy()

        assert ([HIDDEN, HIDDEN], {"amount": HIDDEN}) == secrecy.masked([1, 2], {"amount": 9})
        assert secrecy.hides_anything
        assert secrecy.hides_result

    def test_result_is_hidden_by_its_name(self):
        secrecy = declare(perform=charge, sensitive={"return"})._secrecy()

        assert ([1], {}) == secrecy.masked([1], {})
        assert secrecy.hides_anything
        assert secrecy.hides_result

    def test_collected_arguments_are_hidden_by_the_name_of_their_parameter(self):
        job = declare(perform=charge_some, sensitive={"cards", "details"})

        assert [1, 2, "place", "x"] == hidden_by(job, 1, 2, 3, amount=9, place="a", x=1)

    def test_collected_argument_is_hidden_by_its_own_name(self):
        job = declare(perform=charge_some, sensitive={"cvc"})

        assert ["cvc"] == hidden_by(job, 1, 2, amount=9, place="a", cvc="123")

    def test_argument_that_the_signature_does_not_know_is_hidden(self):
        """The code has changed since: it may have been sensitive."""
        job = declare(perform=charge)

        assert [3, "card_number"] == hidden_by(job, 1, 2, 3, 4, card_number="4111")

    @pytest.mark.parametrize("stored", ["4111", 4111, None, True])
    def test_what_no_enqueue_has_written_is_hidden(self, stored):
        secrecy = declare(perform=charge)._secrecy()

        assert (HIDDEN, HIDDEN) == secrecy.masked(stored, stored)
        assert [stored, stored] == secrecy.hidden(stored, stored)

    def test_hidden_values_are_told(self):
        secrecy = declare(perform=charge, sensitive={"card", "cvc"})._secrecy()

        assert ["4111", "123"] == secrecy.hidden([7, "4111"], {"amount": 9, "cvc": "123"})


class TellingNameTests:
    """Some names say of themselves that their value is a secret."""

    @pytest.mark.parametrize(
        "name",
        [
            "password",
            "new_password",
            "PASSWORD",
            "passwd",
            "passphrase",
            "secret",
            "client_secret",
            "secret_key",
            "token",
            "access_token",
            "token_of_user",
            "credentials",
            "api_key",
            "stripe_api_key",
            "apikey",
            "private_key",
            "aws_access_key",
            "_token",
        ],
    )
    def test_name_that_tells_is_hidden(self, name):
        assert [name] == hidden_by(declare(perform=taking(name)), **{name: "x"})

    @pytest.mark.parametrize(
        "name",
        ["key", "queue_key", "passenger", "max_tokens", "secretary", "tokenize", "author", "pin"],
    )
    def test_name_that_only_sounds_like_it_is_not(self, name):
        assert [] == hidden_by(declare(perform=taking(name)), **{name: "x"})

    def test_names_of_a_job_are_added_to_those_that_tell(self):
        job = declare(perform=taking("card", "token"), sensitive={"card"})

        assert ["card", "token"] == hidden_by(job, card=1, token=2)

    def test_name_that_tells_hides_what_it_collects(self):
        assert [0, 1] == hidden_by(declare(perform=lambda self, *secret: None), 1, 2)
        collects = declare(perform=lambda self, **kwargs: None)
        assert ["password"] == hidden_by(collects, name="x", password="y")

    def test_false_hides_nothing_at_all(self):
        job = declare(perform=taking("token"), sensitive=False)

        assert [] == hidden_by(job, 1, 2, 3, token="x", unknown=1)


def taking(*names):
    """Return a body that takes these parameters."""
    scope = {}
    exec(f"def perform(self, {', '.join(names)}): ...", scope)
    return scope["perform"]


class NameTests:
    @pytest.mark.parametrize(
        ("names", "wrong", "nearest"),
        [
            ({"cart"}, "cart", " Did you mean 'card'?"),
            ({"card", "pan"}, "pan", ""),
            ({"self"}, "self", ""),
            ({"returns"}, "returns", " Did you mean 'return'?"),
        ],
    )
    def test_name_of_no_parameter_is_refused(self, names, wrong, nearest):
        with pytest.raises(InvalidJob) as caught:
            declare(perform=charge, sensitive=names)

        assert (
            f"{PLACE}: expected sensitive to name parameters of perform(order_id, card, /, "
            f"amount, *, cvc='', copy_to=None), or 'return', got {wrong!r}.{nearest}"
        ) == str(caught.value)

    def test_decorator_refuses_it_too(self):
        def send(order_id): ...

        with pytest.raises(InvalidJob) as caught:
            job(sensitive={"order"})(send)

        assert (
            f"{__name__}.{send.__qualname__}: expected sensitive to name parameters of "
            f"perform(order_id), or 'return', got 'order'. Did you mean 'order_id'?"
        ) == str(caught.value)

    def test_any_name_will_do_where_any_is_taken(self):
        assert ["x"] == hidden_by(declare(perform=charge_some, sensitive={"x"}), 1, x=2)

    def test_name_that_a_base_says_is_looked_for_in_each_body(self):
        """A body that calls it otherwise would show it."""
        base = declare(class_name="Base", abstract=True, sensitive={"card"})

        assert [1] == hidden_by(declare(base, perform=charge), 1, 2)
        with pytest.raises(InvalidJob, match=r"got 'card'\. Did you mean 'cart'\?"):
            declare(base, perform=taking("cart"))


class PrecedenceTests:
    def test_settings_come_before_what_is_built_in(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"sensitive": ["cvc", "iban"]}}
        job = declare(perform=charge)

        assert ["cvc"] == hidden_by(job, 1, 2, amount=3, cvc=4)

        settings.JOBFLOW = {"DEFAULTS": {"sensitive": True}}
        assert [0, 1, "amount"] == hidden_by(job, 1, 2, amount=3)

    def test_class_comes_before_settings(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"sensitive": True}}

        assert [] == hidden_by(declare(perform=charge, sensitive=()), 1, 2, amount=3)
        assert [1] == hidden_by(declare(perform=charge, sensitive={"card"}), 1, 2, amount=3)

    def test_is_made_once(self):
        job = declare()

        assert job._secrecy() is job._secrecy()

    def test_subclass_has_its_own(self):
        base = declare(perform=charge, sensitive={"card"})
        assert [1] == hidden_by(base, 1, 2)

        other = declare(base, class_name="Other", perform=charge, sensitive={"amount"})

        assert [2] == hidden_by(other, 1, 2, 3)


class RecordTests:
    def test_record_is_known_by_its_name_or_a_former_one(self):
        job = declare(perform=charge, sensitive={"card"}, aliases=["shop.Old"])

        assert job._secrecy() is secrecy_of("shop.jobs.Send") is secrecy_of("shop.Old")

    def test_record_of_an_unknown_job_hides_all(self):
        """Nobody here knows what was sensitive."""
        secrecy = secrecy_of("shop.jobs.Gone")

        assert ([HIDDEN], {"a": HIDDEN}) == secrecy.masked([1], {"a": 1})
        assert secrecy.hides_result
