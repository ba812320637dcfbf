import subprocess
import sys

import pytest

from tests.app.models import Order

READ = (
    "import django; django.setup()\n"
    "from tests.app.models import Order\n"
    "print(Order.objects.get(), Order.objects.using('other').get())"
)


class WorkerEnvTests:
    @pytest.mark.django_db(transaction=True, databases=["default", "other"])
    def test_leads_a_process_to_the_databases_of_the_test(self, worker_env, tmp_path):
        Order.objects.create(number="1", email="a@shop.example", total=1)
        Order.objects.using("other").create(number="2", email="b@shop.example", total=2)

        ended = subprocess.run(
            [sys.executable, "-c", READ],
            env=worker_env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )

        assert ended.stdout == "1 2\n"
