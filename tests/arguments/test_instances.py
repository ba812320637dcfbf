import datetime as dt
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, models
from django.test.utils import isolate_apps
from django.utils.functional import SimpleLazyObject

from django_jobflow.arguments import decode, encode
from django_jobflow.exceptions import ArgumentError
from tests.arguments.samples import Archived, Gift, Insured, Label, Parcel, Stop

pytestmark = pytest.mark.django_db(databases=["default", "other"])

NAME = "shop.jobs.Ship"
CODE = UUID(int=5)


def stored(label, key, alias="default"):
    return {"$jobflow": "model", "value": [label, key, alias]}


def encode_error(value):
    with pytest.raises(ArgumentError) as caught:
        encode(NAME, [], {"order": value}, max_size=1000)
    return str(caught.value)


def decode_error(value):
    with pytest.raises(ArgumentError) as caught:
        decode([], {"order": value}, name=NAME)
    return caught.value


class InstanceTests:
    def test_saved_instance_is_stored_by_label_key_and_database(self):
        group = Group.objects.using("other").create(name="staff")

        assert ([stored("auth.group", group.pk, "other")], {}) == encode(
            NAME, [group], {}, max_size=1000
        )

    def test_instance_is_read_again_from_its_database(self, django_assert_num_queries):
        group = Group.objects.using("other").create(name="staff")
        call = encode(NAME, [group], {}, max_size=1000)
        Group.objects.using("other").update(name="drivers")

        with django_assert_num_queries(1, using="other"):
            ((actual,), _) = decode(*call)

        assert (group, "drivers", "other") == (actual, actual.name, actual._state.db)

    def test_encoding_asks_no_database(self, django_assert_num_queries):
        group = Group.objects.create(name="staff")

        with django_assert_num_queries(0):
            encode(NAME, [group], {}, max_size=1000)

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (
                lambda: Parcel.objects.create(code=CODE),
                stored("testapp.parcel", {"$jobflow": "uuid", "value": str(CODE)}),
            ),
            (
                lambda: Insured.objects.create(code=CODE, value=5),
                stored("testapp.insured", {"$jobflow": "uuid", "value": str(CODE)}),
            ),
            (
                lambda: Label.objects.create(parcel=Parcel.objects.create(code=CODE)),
                stored("testapp.label", {"$jobflow": "uuid", "value": str(CODE)}),
            ),
            (
                lambda: Stop.objects.create(route=3, on=dt.date(2024, 5, 1)),
                stored(
                    "testapp.stop",
                    {
                        "$jobflow": "tuple",
                        "value": [3, {"$jobflow": "date", "value": "2024-05-01"}],
                    },
                ),
            ),
        ],
        ids=["uuid", "inherited", "one to one", "composite"],
    )
    def test_key_of_any_type_is_kept(self, make, expected):
        instance = make()
        call = encode(NAME, [instance], {}, max_size=1000)

        ((actual,), _) = decode(*call)

        assert ([expected], {}) == call
        assert (type(instance), instance) == (type(actual), actual)

    def test_proxy_stays_a_proxy(self):
        gift = Gift.objects.create(code=CODE)

        ((actual,), _) = decode(*encode(NAME, [gift], {}, max_size=1000))

        assert (Gift, CODE) == (type(actual), actual.pk)

    def test_deferred_fields_are_there_again(self, django_assert_num_queries):
        User.objects.create(username="anna", email="anna@example.com")
        user = User.objects.only("username").get()
        ((actual,), _) = decode(*encode(NAME, [user], {}, max_size=1000))

        with django_assert_num_queries(0):
            assert "anna@example.com" == actual.email

    def test_manager_that_hides_rows_is_not_asked(self):
        archived = Archived._base_manager.create()

        ((actual,), _) = decode(*encode(NAME, [archived], {}, max_size=1000))

        assert archived == actual

    def test_lazy_user_of_a_request_is_a_user(self):
        user = User.objects.create(username="anna")
        lazy = SimpleLazyObject(lambda: User.objects.get())

        ((actual,), _) = decode(*encode(NAME, [lazy], {}, max_size=1000))

        assert (User, user) == (type(actual), actual)

    def test_instance_may_be_a_key_and_in_a_set(self):
        group = Group.objects.create(name="staff")

        (actual, _) = decode(*encode(NAME, [{group: 1}, {group}], {}, max_size=1000))

        assert [{group: 1}, {group}] == actual

    def test_unsaved_instance_is_refused(self):
        expected = (
            f"{NAME}: expected arguments that can be stored as JSON, got an unsaved "
            f"testapp.parcel at kwargs['order']. Save it first, or pass its values."
        )
        assert expected == encode_error(Parcel(code=CODE))

    def test_deleted_instance_is_refused(self):
        group = Group.objects.create(name="staff")
        group.delete()

        assert "got an unsaved auth.group at kwargs['order']" in encode_error(group)

    @pytest.mark.parametrize("name", ["Ghost", "Order"])
    @isolate_apps("tests.app")
    def test_model_that_is_not_the_installed_one_is_refused(self, name):
        model = type(name, (models.Model,), {"__module__": "tests.app.models"})

        expected = (
            f"{NAME}: expected arguments that can be stored as JSON, got an instance of "
            f"testapp.{name.lower()} at kwargs['order'], which is not the model that is installed "
            f"under this label. Pass its key."
        )
        assert expected == encode_error(model.from_db("default", ["id"], [1]))

    def test_key_that_cannot_be_stored_is_refused(self):
        group = Group.objects.create(name="staff")
        group.pk = object()

        assert f"got {group.pk!r} at kwargs['order'].pk." in encode_error(group)

    def test_refused_query_is_not_run(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            message = encode_error(Group.objects.all())

        assert (
            f"{NAME}: expected arguments that can be stored as JSON, got <QuerySet> at "
            f"kwargs['order']. Pass a list of its keys."
        ) == message

    def test_error_does_not_ask_an_instance_for_its_text(self):
        parcel = Parcel.objects.create(code=CODE)

        expected = (
            f"{NAME}: expected arguments that can be stored as JSON, got 1j at "
            f"kwargs['order'][(1j, <Parcel>)][0]."
        )
        assert expected == encode_error({(1j, parcel): 1})


class GoneTests:
    def test_row_that_is_gone_is_told(self):
        group = Group.objects.create(name="staff")
        call = encode(NAME, [], {"order": group}, max_size=1000)
        key = group.pk
        group.delete()

        error = decode_error(call[1]["order"])

        assert (
            f"{NAME}: expected stored arguments that can be read back, got auth.group {key} at "
            f"kwargs['order'], which is not in database 'default' any more."
        ) == str(error)
        assert isinstance(error.__cause__, Group.DoesNotExist)

    def test_row_in_another_database_is_not_the_one(self):
        group = Group.objects.using("other").create(name="staff")

        error = decode_error(stored("auth.group", group.pk, "default"))

        assert isinstance(error.__cause__, Group.DoesNotExist)

    def test_model_that_is_gone_is_told(self):
        assert (
            f"{NAME}: expected stored arguments that can be read back, got 'shop.order' at "
            f"kwargs['order'], which is not an installed model any more."
        ) == str(decode_error(stored("shop.order", 1)))

    def test_database_that_is_gone_is_told(self):
        assert (
            f"{NAME}: expected stored arguments that can be read back, got the database "
            f"'archive' of auth.group at kwargs['order'], which is not configured any more."
        ) == str(decode_error(stored("auth.group", 1, "archive")))

    @pytest.mark.parametrize(
        "value",
        [
            stored("auth.group", "seven"),
            stored("auth.group", [1]),
            stored("auth.group", {}),
            stored("auth.group", None),
            stored("testapp.parcel", "no uuid"),
            stored("testapp.stop", 5),
            stored("auth", 1),
            stored(5, 1),
            stored("auth.group", 1, []),
            {"$jobflow": "model", "value": []},
            {"$jobflow": "model", "value": "auth.group"},
        ],
    )
    def test_malformed_reference_is_refused(self, value):
        assert str(decode_error(value)).startswith(
            f"{NAME}: expected stored arguments that can be read back, got "
        )

    def test_trouble_of_the_database_is_not_hidden(self, monkeypatch):
        def fail(self, *args, **kwargs):
            raise DatabaseError("away")

        monkeypatch.setattr("django.db.models.query.QuerySet.get", fail)

        with pytest.raises(DatabaseError, match="away"):
            decode([], {"order": stored("auth.group", 1)})
