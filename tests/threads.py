"""What a test does beside itself, as another process would."""

from concurrent.futures import ThreadPoolExecutor

from django.db import connections


def elsewhere(action):
    """Return what *action* returns or raises in a thread, on connections of its own."""

    def act():
        try:
            return action()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(act).result()
