from django.test import TestCase

from django_jobflow import observe
from django_jobflow.declare import registry
from tests.app import tasks


class DeclaredTests(TestCase):
    def test_names_and_queues_are_known_without_a_statement(self):
        with self.assertNumQueries(0), self.settings(JOBFLOW={"QUEUES": {"mail": {}}}):
            assert "tests.app.jobs.add" in observe.declared_names()
            assert "tests.app.tasks.add" in observe.declared_names()
            assert {"default", "mail", "notes"} <= set(observe.declared_queues())

    def test_task_that_no_worker_finds_is_left_out(self):
        assert registry.find(tasks.nameless.module_path) is not None

        assert not [name for name in observe.declared_names() if "<" in name]
