from django.test import TestCase

from django_jobflow import observe


class DeclaredTests(TestCase):
    def test_names_and_queues_are_known_without_a_statement(self):
        with self.assertNumQueries(0), self.settings(JOBFLOW={"QUEUES": {"mail": {}}}):
            assert "tests.app.jobs.add" in observe.declared_names()
            assert {"default", "mail", "notes"} <= set(observe.declared_queues())
