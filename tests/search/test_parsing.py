"""The search language: what is understood, what is refused and where, and that texts are kept."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.search import KEYS, WORD, Scalar, Search, SearchError, Term, Text, parse
from django_jobflow.search.keys import COMPARISONS
from django_jobflow.states import JobState

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
WORDS = TEXTS.filter(bool).map(Text)
PATTERNS = st.one_of(
    TEXTS.map(Text),
    st.from_regex(r"[a-z.*]{1,9}", fullmatch=True).map(lambda text: Text(text, is_prefix=True)),
)
SPANS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30_000))
MOMENTS = st.one_of(
    st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
)
SCALARS = st.one_of(
    st.integers(-(10**17), 10**17).map(lambda number: Scalar(number, str(number))),
    TEXTS.map(lambda text: Scalar(text, text, is_quoted=True)),
    st.sampled_from([(True, "true"), (False, "false"), (None, "null")]).map(
        lambda pair: Scalar(*pair)
    ),
)
VALUES = {
    "id": st.integers(0, 2**63 - 1),
    "state": st.sampled_from(JobState.values),
    "tag": TEXTS.map(Text),
    "fingerprint": st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    "key": TEXTS.map(Text),
    "batch": st.integers(0, 2**63 - 1),
    "arg": SCALARS,
    "age": SPANS,
    "enqueued": MOMENTS,
    "due": MOMENTS,
    "ended": MOMENTS,
    "priority": st.integers(-9999, 9999),
    "attempt": st.integers(-9999, 9999),
}


@st.composite
def terms(draw):
    key = KEYS[draw(st.sampled_from(list(KEYS)))]
    values = draw(
        st.lists(
            VALUES.get(key.name, PATTERNS),
            min_size=1,
            max_size=3 if key.is_list else 1,
            unique_by=str,
        )
    )
    return Term(
        key.name,
        tuple(values),
        sign=draw(st.sampled_from(key.signs)),
        member=draw(st.from_regex(r"[a-z_]\w{0,8}", fullmatch=True)) if key.has_members else "",
        is_negated=key.negates and draw(st.booleans()),
    )


SEARCHES = st.lists(
    st.one_of(terms(), WORDS.map(lambda word: Term(WORD, (word,)))), max_size=5
).map(lambda found: Search(tuple(found)))


def understood(text):
    """Return what is made of *text*: a search, or the mistake."""
    try:
        return parse(text)
    except SearchError as error:
        return error


class UnderstoodTests:
    @given(SEARCHES)
    def test_text_of_a_search_is_read_as_the_same_search(self, search):
        text = str(search)

        if len(text) <= 1000:
            assert search == parse(text)
            assert text == str(parse(text))

    @given(st.text(max_size=60))
    def test_whatever_is_typed_is_a_search_or_a_mistake_with_a_place(self, text):
        read = understood(text)

        if isinstance(read, SearchError):
            assert 0 <= read.start < read.end <= len(text) + 1
            assert text == "".join(read.parts)
        else:
            assert read == parse(str(read))

    @pytest.mark.parametrize(
        ("text", "term"),
        [
            ("queue:email", Term("queue", (Text("email"),))),
            ("-queue:email", Term("queue", (Text("email"),), is_negated=True)),
            ('name:"shop jobs",b', Term("name", (Text("shop jobs"), Text("b")))),
            ("name:shop.*", Term("name", (Text("shop.", is_prefix=True),))),
            ('name:"shop.*"', Term("name", (Text("shop.*"),))),
            ('partition:""', Term("partition", (Text(""),))),
            (r'tag:"say \"hi\" \\"', Term("tag", (Text('say "hi" \\'),))),
            ("state:in-progress,Failed", Term("state", ("IN_PROGRESS", "FAILED"))),
            ("age>1.5h", Term("age", (timedelta(minutes=90),), sign=">")),
            ("age<=2w", Term("age", (timedelta(weeks=2),), sign="<=")),
            ("due:2030-01-31", Term("due", (date(2030, 1, 31),))),
            (
                "ended<2030-01-31T18:00+01:00",
                Term("ended", (datetime(2030, 1, 31, 17, tzinfo=UTC),), sign="<"),
            ),
            ("arg.order_id:7", Term("arg", (Scalar(7, "7"),), member="order_id")),
            ('arg.order_id:"7"', Term("arg", (Scalar("7", "7", True),), member="order_id")),
            ("arg.x:007", Term("arg", (Scalar("007", "007"),), member="x")),
            ("state:succeeded", Term("state", ("SUCCEEDED",))),
            ("42", Term("id", (42,))),
            ('"42"', Term(WORD, (Text("42"),))),
            ("receipt", Term(WORD, (Text("receipt"),))),
            ("9" * 20, Term(WORD, (Text("9" * 20),))),
            ("priority>=-5", Term("priority", (-5,), sign=">=")),
        ],
    )
    def test_term(self, text, term):
        assert Search((term,)) == parse(f"  {text}\t")

    def test_moment_without_a_zone_is_one_of_the_project(self):
        [term] = parse("due>2030-01-31T18:00").terms

        assert (timezone.make_aware(datetime(2030, 1, 31, 18)),) == term.values

    def test_moment_is_naive_where_the_project_is(self, settings):
        settings.USE_TZ = False
        [plain, zoned] = parse("due>2030-01-31T18:00 due<2030-01-31T18:00+00:00").terms

        assert plain.values[0].tzinfo is None
        assert zoned.values[0].tzinfo is None

    def test_terms_know_their_place(self):
        first, second = parse(" queue:a  receipt").terms
        assert (1, 8, 10, 17) == (first.start, first.end, second.start, second.end)

    def test_every_key_can_be_used(self):
        known = {"age": "age>1h"} | {key: f"{key}:1" for key in ("id", "batch", "attempt")}
        known |= {key: f"{key}:2030-01-31" for key in ("enqueued", "due", "ended")}
        known |= {"arg": "arg.x:1", "state": "state:failed", "priority": "priority:1"}
        known |= {"fingerprint": f"fingerprint:{'0a' * 16}"}
        for key in KEYS:
            assert key == parse(known.get(key, f"{key}:x")).terms[0].key


class RefusedTests:
    @pytest.mark.parametrize(
        ("text", "mistake", "why"),
        [
            (
                "quue:email",
                "quue",
                "'quue' is no key. Did you mean 'queue'? A text with : in it needs quotes: \"…\".",
            ),
            ("queue:", " ", "expected a value for queue."),
            ("queue: x", " ", "expected a value for queue."),
            ("queue:a,", " ", "expected a value for queue."),
            ("tag:a,b", ",", "tag takes one value."),
            ('queue:"a', '"a', "this quote is not closed."),
            ('queue:"a"b', "b", 'expected a space here, or quotes: "…".'),
            ('a"b', '"', 'expected a space here, or quotes: "…".'),
            ("a,b", ",", "a comma stands between values of a key only."),
            (r"a\b", "\\", 'expected a space here, or quotes: "…".'),
            (",", ",", "expected a word, or a key as queue:."),
            ("-receipt", "-", "only a term with a key can be negated, as -queue:x."),
            ("-id:7", "-id:", "id cannot be negated."),
            ("queue>a", ">", "expected : behind queue."),
            ("age:1h", ":", "expected >=, <=, > or < behind age."),
            ("arg:7", "arg", "expected arg. and the name of an argument:"),
            ("queue.x:7", "queue.x", "expected queue:"),
            (
                "state:failed,succeeded",
                "failed,succeeded",
                "what has succeeded is in a list of its own: succeeded stands alone.",
            ),
            ("id:x", "x", "expected a whole number, got 'x'."),
            (
                "fingerprint:x",
                "x",
                "expected a fingerprint of 32 digits from 0 to f, got 'x'.",
            ),
            (f"id:{2**63}", str(2**63), f"expected a whole number, got '{2**63}'."),
            ("age>soon", "soon", "expected a time as 90s, 15m, 6h, 7d or 2w, got 'soon'."),
            (
                "due>soon",
                "soon",
                "expected a day as 2030-01-31, or a moment as 2030-01-31T18:00, got 'soon'.",
            ),
            ("due>2030-02-30", "2030-02-30", None),
            ("due:9999-12-31", "9999-12-31", None),
            ("age>999999999999d", "999999999999d", None),
            ("priority:x", "x", "expected a whole number from -9999 to 9999, got 'x'."),
            ("name:*", "*", "expected something before the *, got '*'."),
            ("a\0", "\0", r"'\x00' is in no job."),
            ('""', '""', "expected a word, got an empty one."),
        ],
    )
    def test_mistake_is_shown_in_its_place(self, text, mistake, why):
        with pytest.raises(SearchError) as caught:
            parse(f"queue:ok {text}")

        error = caught.value
        assert mistake == (error.parts[1] or " ")
        assert 9 <= error.start
        assert why in {None, error.why}
        assert f"Search: at character {error.start + 1}: {error.why}" == str(error)
        with translation.override("de"):
            german = error.why.translated()
            assert f"Suche, bei Zeichen {error.start + 1}: {german}" == error.translated()
        assert {"expected", "no", "only", "not", "takes", "be"}.isdisjoint(german.split())

    def test_facts_of_a_mistake_are_translated_too(self):
        with pytest.raises(SearchError) as caught:
            parse("age:1h")

        with translation.override("fr"):
            assert ">=, <=, > ou < est attendu après age." == caught.value.why.translated()

    def test_state_names_the_nearest(self):
        with pytest.raises(SearchError, match=r"succeeded; perhaps 'failed', got 'faild'\.$"):
            parse("state:faild")

    def test_picture_has_a_mark_below_the_mistake(self):
        with pytest.raises(SearchError) as caught:
            parse("queue:a age>soon")

        assert "queue:a age>soon\n            ^^^^" == caught.value.picture

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("x" * 1001, "expected at most 1,000 characters."),
            ("x " * 31, "expected at most 30 terms."),
        ],
    )
    def test_there_are_limits(self, text, why):
        with pytest.raises(SearchError) as caught:
            parse(text)

        assert why == caught.value.why


def test_parts_of_a_search():
    search = parse("queue:a state:failed receipt")

    assert "queue:a receipt" == str(search.without("state"))
    assert "queue:a state:failed receipt age>60s" == str(search + parse("age>1m"))
    assert not Search()
    assert COMPARISONS == KEYS["age"].signs
