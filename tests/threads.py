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


def sharing(action):
    """Return what *action* returns in a thread that shares the connection of this one."""
    shared = connections["default"]
    shared.inc_thread_sharing()
    try:
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(action, shared).result()
    finally:
        shared.dec_thread_sharing()
