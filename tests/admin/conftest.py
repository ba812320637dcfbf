from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
SILENCE = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def live_server(django_db_setup, live_server):
    """A server that is made after the test databases.

    Before them, SQLite's database is still the one in memory of the settings, and
    pytest-django would share this thread's connection with the threads of the server.
    """
    return live_server


@pytest.fixture
def browse(chromium, live_server):
    """Return what lets a function use a page of a headless Chromium, and returns its answer.

    The function runs in a thread of its own and asks no database: Playwright keeps an event
    loop in its thread, where Django would open connections that nobody closes.
    """

    def browse(story, **options):
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(tell, story, chromium, live_server.url, options).result(120)

    return browse


def tell(story, chromium, url, options):
    """Run *story* with a page; fail if the browser has complained about anything."""
    from playwright.sync_api import sync_playwright

    complaints = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*OPTIONS, *SILENCE])
        page = browser.new_page(base_url=url, **options)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("response", lambda response: complaints.extend(refusals_in(response)))
        page.on("console", lambda message: complaints.extend(errors_in(message)))
        answer = story(page)
        browser.close()
    assert [] == complaints
    return answer


def refusals_in(response):
    if response.status >= 400 and urlsplit(response.url).path != "/favicon.ico":
        yield f"{response.status} {response.url}"


def errors_in(message):
    # That of an address is told by its response, and this text does not say which it is.
    if message.type == "error" and not message.text.startswith("Failed to load resource"):
        yield message.text
