"""What forms and pages refuse is told in the language of who reads it."""

import pytest
from django.urls import reverse
from django.utils import translation

from django_jobflow.states import JobState
from tests.admin.site import page_url, said, superuser
from tests.admin.test_changing import CHARGE, errors
from tests.factories import FailedJobFactory, JobRecordFactory

pytestmark = pytest.mark.django_db
READ_BACK = "Erwartet wurden gespeicherte Argumente, die sich zurücklesen lassen, nicht"


@pytest.fixture
def german(client):
    client.force_login(superuser())
    with translation.override("de"):
        yield client


@pytest.mark.parametrize(
    ("model", "posted", "field", "sentence"),
    [
        (
            "limit",
            {"kind": "queue", "value": "a b", "concurrency": "1"},
            "value",
            "Name: Für queue wurde erwartet: 1 bis 100 Buchstaben, Ziffern, '_', '-', '.' oder "
            "':', mit einem Buchstaben, einer Ziffer oder '_' am Anfang, nicht 'a b'.",
        ),
        (
            "limit",
            {"kind": "job", "value": "\x7f", "concurrency": "1"},
            "value",
            "Name: Für name wurde erwartet: 1 bis 200 druckbare Zeichen, nicht '\\x7f'.",
        ),
        (
            "limit",
            {"kind": "queue", "value": "a", "starts": "soon"},
            "starts",
            "Starts: Für rate wurde erwartet: ein Text wie '100/m' oder '10/30s' (s, m, h oder "
            "d), oder ein Paar aus einer ganzen Zahl ab 1 und einer Dauer, oder None, nicht "
            "'soon'.",
        ),
        (
            "limit",
            {"kind": "queue", "value": "a", "burst": "3"},
            "burst",
            "Burst: Zu burst gehört eine Rate; angegeben ist nur burst=3.",
        ),
        (
            "limit",
            {"kind": "key", "value": "a", "concurrency": "1001"},
            "concurrency",
            "Gleichzeitig laufend: Von einem Schlüssel dürfen höchstens 1000 gleichzeitig laufen, "
            "nicht 1001.",
        ),
        (
            "pause",
            {"kind": "partition", "value": "x" * 101},
            "value",
            f"Name: Für partition wurde erwartet: höchstens 100 Zeichen ohne NUL und ohne "
            f"einzelne Surrogate, nicht '{'x' * 101}'.",
        ),
    ],
)
def test_refusal_of_a_control_is_translated(german, model, posted, field, sentence):
    response = german.post(reverse(f"admin:jobflow_{model}_add"), posted)

    found = response.context["adminform"].form.errors
    assert [sentence] == found[field]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"q": "", "action": "retry"}, "Sammelvorgang: Es fehlt eine Suche."),
        (
            {"q": "state:succeeded", "action": "retry"},
            "Sammelvorgang: state:succeeded passt nur zum Löschen; was erfolgreich war, ist zu "
            "Ende.",
        ),
        (
            {"q": "queue:a", "action": "retry", "rate": "x"},
            "Jobs pro Sekunde: Erwartet wurde eine ganze Zahl von 1 bis 100.000, nicht 'x'.",
        ),
    ],
)
def test_refusal_of_a_bulk_operation_is_translated(german, asked, sentence):
    response = german.get(reverse("admin:jobflow_bulkoperation_start"), asked)

    assert sentence == response.context["problem"]


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ("[", "", "Das ist kein JSON: In Zeile 1, bei Zeichen 2, ist ein Fehler."),
        (
            "[" * 100_000,
            "",
            "Dieses JSON ist zu tief verschachtelt oder hat eine Zahl mit zu vielen Ziffern.",
        ),
        ("[]", "{}", "ein nötiges Argument fehlt: 'order_id'"),
        ("[1, 2, 3]", "{}", "zu viele Argumente ohne Namen"),
        ("[1, 2]", '{"x": 1}', "unbekanntes Argument 'x'"),
        ("[1, 2]", '{"card": 1}', "mehrere Werte für das Argument 'card'"),
        (
            '[{"$jobflow": "date", "value": "soon"}]',
            "",
            f"{READ_BACK} {{'$jobflow': 'date', 'value': 'soon'}} in args[0].",
        ),
        (
            '[{"$jobflow": "enum", "value": ["no.module", "Kind", ["A"]]}]',
            "",
            f"{READ_BACK} ein Enum aus 'no.module' in args[0] (hier nicht importiert). "
            "Importieren Sie es in dem Modul, das den Job deklariert.",
        ),
        (
            '[{"$jobflow": "model", "value": ["no.model", 1, "default"]}]',
            "",
            f"{READ_BACK} 'no.model' in args[0] (kein installiertes Modell mehr).",
        ),
        (
            '["a\\u0000b", 1]',
            "",
            "Erwartet wurden Argumente, die sich als JSON speichern lassen, nicht ein NUL-Zeichen "
            "in 'a\\x00b' in args[0].",
        ),
    ],
)
def test_refusal_of_arguments_is_translated(german, args, kwargs, sentence):
    record = FailedJobFactory(name=CHARGE)

    response = german.post(page_url(record, "edit"), {"args": args, "kwargs": kwargs})

    [[found]] = errors(response).values()
    assert found.removeprefix(f"{CHARGE}: ").startswith(sentence)
    assert "xpected" not in found


@pytest.mark.parametrize(
    ("state", "verb", "sentence"),
    [
        ("AVAILABLE", "retry", "lässt sich nicht wiederholen: sein Zustand ist „verfügbar“."),
        ("FAILED", "cancel", "lässt sich nicht abbrechen: sein Zustand ist „fehlgeschlagen“."),
    ],
)
def test_refusal_of_a_verb_is_translated(german, state, verb, sentence):
    record = JobRecordFactory(state=JobState(state))

    response = german.post(page_url(record, verb), follow=True)

    assert [f"Job {record.pk} {sentence}"] == said(response)
