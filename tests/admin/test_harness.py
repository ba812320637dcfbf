"""The browser of the tests hears of all that is wrong with a page."""

import pytest

from tests.admin.browser import check, listen
from tests.policy import POLICY

pytestmark = pytest.mark.django_db(transaction=True)

WRONG = {
    "an error in a script": ("", "", "throw new Error('broken')"),
    "an error that is logged": ("", "", "console.error('broken')"),
    "a style in the page": ("<style>p { color: red }</style>", "", ""),
    "a style of an element": ("", '<p style="color: red">Red</p>', ""),
    "a script in the page": ("<script>document.title = 'x'</script>", "", ""),
    "a handler of an element": ("", '<p id="x" onclick="alert()">x</p>', "x.click()"),
    "a file of another site": ("", '<img alt="" src="https://cdn.example/x.png">', ""),
    "a file that is not there": ("", '<img alt="" src="/static/none.png">', ""),
}


def serve(page, head="", body="", script=""):
    """Answer for a page and its script, with the policy that all pages have."""

    def fulfill(kind, text):
        headers = {"Content-Security-Policy": POLICY}
        return lambda route: route.fulfill(content_type=kind, body=text, headers=headers)

    text = f'<!doctype html><html lang="en"><title>x</title>{head}<main id="content">{body}</main>'
    page.route("**/page/", fulfill("text/html", f'{text}<script src="/page/page.js"></script>'))
    page.route("**/page/page.js", fulfill("text/javascript", script))
    page.goto("/page/")


@pytest.mark.parametrize("what", WRONG)
def test_complaint_is_heard(browse, what):
    with pytest.raises(AssertionError):
        browse(lambda page: serve(page, *WRONG[what]))


def test_request_without_an_answer_is_heard(browse):
    def story(page):
        page.route("**/lost", lambda route: route.abort("connectionreset"))
        with page.expect_event("requestfailed"):
            serve(page, script="fetch('/lost').catch(() => null)")

    with pytest.raises(AssertionError, match="ERR_CONNECTION_RESET"):
        browse(story)


def test_page_that_is_well_is_not_complained_about(browse):
    def story(page):
        serve(page, body="<h1>Well</h1>", script="document.title = 'y'")
        check(page)
        return page.title()

    assert "y" == browse(story)


@pytest.mark.parametrize("body", ['<img src="/page/page.js">', "<input>", "<button></button>"])
def test_page_that_not_all_can_use_is_refused(browse, body):
    def story(page):
        serve(page, body=body)
        check(page)

    with pytest.raises(AssertionError, match="light"):
        browse(story)


def test_story_asks_the_thread_of_the_test(browse, django_user_model):
    def story(page):
        complaints = []
        listen(page, complaints)
        return browse.ask(django_user_model.objects.count), complaints

    assert (0, []) == browse(story)


def test_question_that_fails_ends_the_story(browse):
    with pytest.raises(ZeroDivisionError):
        browse(lambda page: browse.ask(lambda: 1 / 0))
