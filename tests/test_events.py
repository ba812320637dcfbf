import logging

import pytest

from django_jobflow import events

logger = logging.getLogger("django_jobflow.tests")


@pytest.fixture(autouse=True)
def every_level(caplog):
    caplog.set_level(logging.DEBUG, logger.name)


def written(caplog):
    (record,) = caplog.records
    return record


class LogTests:
    def test_line_is_the_event_and_its_fields(self, caplog):
        events.log(logger, logging.INFO, "job_started", job_id=7, queue="email")

        assert ("INFO", "job_started job_id=7 queue=email") == (
            written(caplog).levelname,
            written(caplog).getMessage(),
        )

    def test_fields_are_attributes_of_the_log_record(self, caplog):
        events.log(logger, logging.INFO, "job_started", job_id=7, queue="email", name="x", args=1)

        record = written(caplog)
        assert ("job_started", 7, "email", "x", 1) == (
            record.event,
            record.job_id,
            record.job_queue,
            record.job_name,
            record.job_args,
        )

    def test_values_that_could_be_misread_are_quoted(self, caplog):
        events.log(
            logger, logging.INFO, "e", empty="", spaced="a b", lines="a\nb", none=None, plain="a=b"
        )

        assert r"e empty='' spaced='a b' lines='a\nb' none=None plain=a=b" == (
            written(caplog).getMessage()
        )

    @pytest.mark.parametrize(
        "value",
        [
            "a\nERROR forged",
            "a\rb",
            "a\r\nb",
            "a\tlevel=forged",
            "a\x1b[2Jb",
            "a\x00b",
            "a\x85b",
            "a\u2028b",
            "a\u202eb",
            "a\xa0b",
            "' level=forged '",
            '"quoted"',
        ],
    )
    def test_no_value_makes_a_line_or_a_field_of_its_own(self, caplog, value):
        events.log(logger, logging.INFO, "e", value=value, after=1)

        text = written(caplog).getMessage()
        assert f"e value={value!r} after=1" == text
        assert text.isprintable()

    def test_letters_of_all_alphabets_stay_as_they_are(self, caplog):
        events.log(logger, logging.INFO, "e", name="größe.订单")

        assert "e name=größe.订单" == written(caplog).getMessage()

    def test_traceback_may_be_a_text_already(self, caplog):
        events.log(logger, logging.ERROR, "e", exc_text="Traceback ...\nValueError: ••••••")

        record = written(caplog)
        assert ("e", None) == (record.getMessage(), record.exc_info)
        assert "e\nTraceback ...\nValueError: ••••••" == logging.Formatter().format(record)

    def test_floats_are_short(self, caplog):
        events.log(logger, logging.INFO, "e", seconds=0.123456789, more=1234567.0)

        assert "e seconds=0.123457 more=1.23457e+06" == written(caplog).getMessage()
        assert 0.123456789 == written(caplog).job_seconds

    def test_percent_sign_in_a_value_is_only_a_percent_sign(self, caplog):
        events.log(logger, logging.INFO, "e", message="100%s")

        assert "e message=100%s" == written(caplog).getMessage()

    def test_exception_is_passed_on_to_logging(self, caplog):
        error = ValueError("no")

        events.log(logger, logging.ERROR, "e", exc_info=error)

        assert ("e", error) == (written(caplog).getMessage(), written(caplog).exc_info[1])

    def test_level_that_is_off_writes_nothing(self, caplog):
        class Unprintable:
            def __str__(self):
                raise AssertionError

        caplog.set_level(logging.INFO, logger.name)

        events.log(logger, logging.DEBUG, "e", value=Unprintable())

        assert [] == caplog.records
