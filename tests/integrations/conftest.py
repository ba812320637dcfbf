from tests.process.conftest import start_worker, until
from tests.remote.conftest import free_port
from tests.worker.conftest import drain

__all__ = ["drain", "free_port", "start_worker", "until"]
