import pytest

from tests.admin.browser import Browse


@pytest.fixture(scope="session")
def live_server(django_db_setup, live_server):
    """A server that is made after the test databases.

    Before them, SQLite's database is still the one in memory of the settings, and
    pytest-django would share this thread's connection with the threads of the server.
    """
    return live_server


@pytest.fixture(scope="session")
def browser(chromium):
    """The browser of this process; nothing is started before the first story."""
    browse = Browse(chromium)
    yield browse
    browse.close()


@pytest.fixture
def browse(browser, live_server):
    """What lets a story use a page: see ``tests/admin/browser.py``."""
    browser.url = live_server.url
    return browser
