"""A real browser for the tests of pages, and what such a test says of the page before it.

A test asks for the fixture ``browse`` and gives it a story, a function of a page::

    def test_something(browse):
        user = superuser()

        def story(page):
            page.goto(list_url("failedjob"))
            check(page)
            screenshot(page, "failed-jobs")
            browse.ask(FailedJobFactory)  # what needs the database
            return page.locator("h1").inner_text()

        assert "Failed jobs" == browse(story, user=user)

Wait by locators: ``wait_for_function`` evaluates texts in the page, which the policy forbids.

Every page has the policy ``default-src 'self'``. The test fails if the browser complains: of an
error in a script, of what the policy forbids, of an answer from 400 on or a request without one.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
SILENCE = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = 120  # seconds that a story may take, and each question of it
SIZE = {"width": 1280, "height": 800}
THEMES = ("light", "dark")
SCREENSHOTS = Path(__file__).parent.parent.parent / "docs" / "_static" / "screenshots"
SCREENSHOTS_WANTED = "JOBFLOW_TEST_SCREENSHOTS"  # the key that asks for pictures for the docs
COLOURS = 128  # of a picture: enough for a page without photographs
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
# What axe loads before it looks. Style sheets are not: only a rule that is not run reads them,
# and of one with an @import, as Django 5.2's forms.css is, axe makes an inline copy. Our policy
# forbids that, and the browser would complain of it as if the page had done it.
PRELOAD = {"assets": ["media"]}


class Browse:
    """Lets a story use a page of a headless Chromium, and returns its answer.

    The story runs in a thread of its own and asks no database: Playwright keeps an event loop in
    its thread, where Django would open connections that nobody closes. What needs the database
    is asked of the test's own thread, by ``ask``.

    One browser serves all tests of a process; each story has a profile of its own in it.
    """

    def __init__(self, executable):
        self.executable = executable
        self.url = ""
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._asked = SimpleQueue()
        self._playwright = self._browser = None

    def __call__(self, story, *, user=None, **options):
        """Run *story* with a page; fail if the browser has complained about anything.

        Args:
            user: Who is logged in. None is a stranger.
            options: Those of a browser context, such as ``locale`` or ``color_scheme``.
        """
        cookies = cookies_of(user, self.url) if user is not None else []
        told = self._thread.submit(self._tell, story, cookies, options)
        told.add_done_callback(lambda _: self._asked.put(None))
        while (asked := self._asked.get(timeout=PATIENCE)) is not None:
            answer, question = asked
            try:
                answer.set_result(question())
            except BaseException as error:
                answer.set_exception(error)
        return told.result()

    def ask(self, question):
        """Call *question* in the thread of the test, which has the database; for a story."""
        answer = Future()
        self._asked.put((answer, question))
        return answer.result(PATIENCE)

    def close(self):
        """End the browser."""
        self._thread.submit(self._close).result(PATIENCE)
        self._thread.shutdown()

    def _close(self):
        if self._browser is not None:
            self._browser.close()
            self._playwright.stop()

    def _tell(self, story, cookies, options):
        if self._browser is None:
            from playwright.sync_api import sync_playwright

            self._playwright = sync_playwright().start()
            self._browser = self._playwright.chromium.launch(
                executable_path=self.executable, args=[*OPTIONS, *SILENCE]
            )
        options = {"viewport": SIZE, "base_url": self.url} | options
        context = self._browser.new_context(**options)
        try:
            context.add_cookies(cookies)
            complaints = []
            page = context.new_page()
            listen(page, complaints)
            answer = story(page)
            page.goto("about:blank")  # so that no page that is live asks the server any more
        finally:
            context.close()
        assert not complaints, complaints
        return answer


def cookies_of(user, url):
    """Return the cookies of a browser in which *user* is logged in."""
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return [{"name": name, "value": client.cookies[name].value, "url": url}]


def listen(page, complaints):
    """Add to *complaints* whatever the browser complains about from now on."""
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda response: complaints.extend(refusals_in(response)))
    page.on("requestfailed", lambda request: complaints.extend(failures_of(request)))
    page.on("console", lambda message: complaints.extend(errors_in(message)))


def refusals_in(response):
    if response.status >= 400 and urlsplit(response.url).path != "/favicon.ico":
        yield f"{response.status} {response.url}"


def failures_of(request):
    # Who leaves a page ends what it had asked for. What the policy forbids is told by the console.
    if request.failure not in {"net::ERR_ABORTED", "csp"}:
        yield f"{request.failure} {request.url}"


def errors_in(message):
    # That of an address is told by its response, and this text does not say which it is.
    if message.type == "error" and not message.text.startswith("Failed to load resource"):
        yield message.text


def log_in(page, address):
    """Ask for *address* as a stranger, and log in as it is asked for."""
    page.goto(address)
    page.get_by_label("Username").fill("root")
    page.get_by_label("Password").fill("root")
    page.get_by_role("button", name="Log in").click()


def check(page, within="#content", *, but=()):
    """Fail if axe finds what a person with a disability could not use, in light and in dark.

    Args:
        within: The part of the page that is ours, as a CSS selector.
        but: Names of rules that what Django itself puts there does not keep.
    """
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(Axe().axe_script)
    without = {name: {"enabled": False} for name in but}
    options = {"runOnly": RULES, "rules": without, "preload": PRELOAD}
    for theme in THEMES:
        change_theme(page, theme)
        found = page.evaluate("([within, options]) => axe.run(within, options)", [within, options])
        told = list(told_by(found, theme))
        assert not told, told
    page.emulate_media(color_scheme=THEMES[0])


def change_theme(page, theme):
    """Let the page be in *theme*: links and buttons come to a new colour by and by."""
    page.emulate_media(color_scheme=theme)
    page.evaluate("Promise.allSettled(document.getAnimations().map((each) => each.finished))")


def told_by(response, theme):
    """Yield what axe has found, with the elements that it is about."""
    for violation in response["violations"]:
        elements = [node["html"][:200] for node in violation["nodes"]]
        yield theme, violation["id"], violation["help"], elements


def screenshot(page, name, *, full_page=True):
    """Take a picture of *page* for the docs, light and dark, if the environment asks for them."""
    if not os.environ.get(SCREENSHOTS_WANTED):
        return
    for theme in THEMES:
        change_theme(page, theme)
        save(page.screenshot(full_page=full_page, animations="disabled"), f"{name}-{theme}")
    page.emulate_media(color_scheme=THEMES[0])


def save(picture, name):
    """Write *picture* with few colours, so that it is small."""
    from PIL import Image

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with Image.open(BytesIO(picture)) as image:
        few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(SCREENSHOTS / f"{name}.png", optimize=True)
