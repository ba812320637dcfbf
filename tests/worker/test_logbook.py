"""What is kept of a log, in memory and without a database."""

import logging
import threading

import pytest

from django_jobflow.logs import BYTES, KEEP_LOGS, LINE_LENGTH, LINES, least_level
from django_jobflow.worker import logbook
from django_jobflow.worker.logbook import Logbook

logger = logging.getLogger("tests.shop")


@pytest.fixture
def book():
    """A book that takes what this thread logs."""
    made = Logbook(logging.NOTSET)
    logbook.use(made)
    yield made
    logbook.use(None)


def messages(book):
    return [message for *_, message in book.pages().entries]


class LevelTests:
    @pytest.mark.parametrize(
        ("option", "meta", "level"),
        [
            (False, {}, None),
            (True, {}, 0),
            ("WARNING", {}, 30),
            (False, {KEEP_LOGS: True}, 0),
            (True, {KEEP_LOGS: False}, None),
            (True, {KEEP_LOGS: "ERROR"}, 40),
            (True, {KEEP_LOGS: "Logger"}, None),
            (True, {KEEP_LOGS: [1]}, None),
            (True, "x", 0),
            (True, None, 0),
        ],
    )
    def test_call_comes_before_the_job(self, option, meta, level):
        assert level == least_level(option, meta)


class TakingTests:
    def test_line_has_level_logger_and_text(self, book):
        logger.warning("%s of %d", "one", 2)

        [(_, *line)] = book.pages().entries
        assert ["WARNING", "tests.shop", "one of 2"] == line

    def test_logger_that_does_not_propagate_is_heard(self, book):
        """Many projects set it so; a handler of the root would hear nothing."""
        logger.propagate = False
        try:
            logger.error("refused")
        finally:
            logger.propagate = True

        assert ["refused"] == messages(book)

    def test_what_a_logger_does_not_say_is_not_kept(self, book):
        logger.debug("nobody hears it")

        assert [] == messages(book)

    def test_levels_below_its_own_are_not_kept(self):
        book = Logbook(logging.ERROR)
        logbook.use(book)

        logger.warning("too low")
        logger.error("kept")
        book.note(logging.INFO, "job", "too low")
        book.note(logging.ERROR, "job", "kept too")
        logbook.use(None)

        assert ["kept", "kept too"] == messages(book)

    def test_exception_is_kept_with_its_traceback(self, book):
        try:
            raise ValueError("of no use")
        except ValueError:
            logger.exception("failed")

        [message] = messages(book)
        assert message.startswith("failed\nTraceback (most recent call last):")
        assert message.endswith("ValueError: of no use")

    def test_nothing_is_added_for_an_exception_that_is_none(self, book):
        logger.warning("all well", exc_info=True)

        assert ["all well"] == messages(book)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("%d of it", "x"), "%d of it (TypeError while it was formatted)"),
            ((object.__new__(type("Odd", (), {"__str__": 7})),), "<Odd> (TypeError while"),
        ],
    )
    def test_line_that_cannot_be_formatted_says_so(self, book, arguments, message, monkeypatch):
        monkeypatch.setattr(logging, "raiseExceptions", False)
        logger.propagate = False
        try:
            logger.warning(*arguments)
        finally:
            logger.propagate = True

        assert messages(book)[0].startswith(message)

    def test_what_no_database_holds_is_replaced(self, book, monkeypatch):
        monkeypatch.setattr(logger, "propagate", False)  # nor could pytest pass it on
        logger.warning("a\x00b\ud800c")
        logging.getLogger("tests.\x00").warning("d")
        book.note(logging.INFO, "job", "\x00")

        assert ["a\ufffdb?c", "d", "\ufffd"] == messages(book)
        assert "tests.\ufffd" == book.pages().entries[1][2]

    def test_record_that_is_made_of_parts_of_another_is_passed_over(self, book):
        logging.makeLogRecord({"name": "x", "levelno": 40, "msg": "from another process"})

        assert [] == messages(book)

    def test_another_thread_is_not_heard(self, book):
        thread = threading.Thread(target=logger.warning, args=["of another"])
        thread.start()
        thread.join()

        assert [] == messages(book)

    def test_closed_book_takes_nothing(self, book):
        book.close()
        logger.warning("too late")
        book.note(logging.ERROR, "job", "too late")

        assert not book.has_news

    def test_records_are_made_as_before(self, book, caplog):
        logger.warning("heard by all")

        assert "heard by all" in caplog.text


class BoundTests:
    def test_newest_lines_are_kept_and_the_others_counted(self, book):
        for number in range(LINES + 5):
            book.note(logging.INFO, "job", str(number))

        pages = book.pages()
        assert (LINES, 5) == (len(pages.entries), pages.left_out)
        assert ("5", str(LINES + 4)) == (messages(book)[0], messages(book)[-1])

    def test_size_is_kept_in_bytes(self, book):
        for _ in range(LINES):
            book.note(logging.INFO, "job", "é" * LINE_LENGTH)

        kept = sum(len(message.encode()) for message in messages(book))
        assert BYTES - 2 * LINE_LENGTH < kept <= BYTES
        assert LINES == len(messages(book)) + book.pages().left_out

    def test_long_line_is_shortened_in_its_middle(self, book):
        book.note(logging.INFO, "job", "a" * 5000 + "b" * 5000)

        [message] = messages(book)
        assert LINE_LENGTH == len(message)
        assert message.startswith("a" * 600 + " … b")
        assert message.endswith("b")

    def test_line_of_the_longest_is_whole(self, book):
        book.note(logging.INFO, "job", "a" * LINE_LENGTH)

        assert ["a" * LINE_LENGTH] == messages(book)

    def test_threads_that_log_at_once_lose_no_line(self, book):
        def work():
            for _ in range(500):
                book.note(logging.INFO, "job", "x")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert 2000 == book.pages().total


class NewsTests:
    def test_what_is_written_is_no_news(self):
        book = Logbook(logging.NOTSET)
        book.note(logging.INFO, "job", "one")
        assert book.has_news

        book.written = book.pages().total

        assert not book.has_news
        book.note(logging.INFO, "job", "two")
        assert book.has_news
