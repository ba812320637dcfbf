"""A payment gateway: an HTTP server that takes charges, and has the faults of a real one.

``POST /charges`` with a JSON object of ``reference``, ``amount`` (a whole number, in the
currency's smallest unit) and ``currency``, and a header ``Idempotency-Key``. The answer is 201
with the charge, or 200 when the key has been charged before.

``GET /charges`` lists what was charged.
"""

import hashlib
import json
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

LARGEST_BODY = 10_000  # bytes


class Refusal(Exception):
    """A request that the gateway does not serve, with the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Charge:
    """Money taken.

    Attributes:
        amount: In the currency's smallest unit.
    """

    id: str
    reference: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often the gateway fails, and how; which request fails follows from ``seed``.

    Attributes:
        unavailable: Part of the requests that are answered 503, uncharged.
        hanging: Part that is not answered for ``pause``, and not charged.
        late: Part that is charged, and not answered for ``pause``: the client cannot know.
        pause: Seconds; longer than a client waits.
    """

    seed: int = 1
    unavailable: float = 0.04
    hanging: float = 0.003
    late: float = 0.003
    pause: float = 2.0

    def pick(self, key: str, attempt: int) -> str:
        """Return the fault of the *attempt*-th request with *key*; empty for none."""
        digest = hashlib.sha256(f"{self.seed}:{key}:{attempt}".encode()).digest()
        part = int.from_bytes(digest[:8], "big") / 2**64
        for name in ("unavailable", "hanging", "late"):
            if part < (share := getattr(self, name)):
                return name
            part -= share
        return ""


NO_FAULTS = Faults(unavailable=0, hanging=0, late=0)


@dataclass
class Ledger:
    """What was charged, by idempotency key, and what was asked."""

    charges: dict[str, Charge] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count_request(self, key: str) -> int:
        """Count a request with *key*, and return how many there were."""
        with self.lock:
            self.requests[key] += 1
            return self.requests[key]

    def count(self, what: str) -> None:
        """Count one more of *what*."""
        with self.lock:
            self.counts[what] += 1

    def charge(self, key: str, reference: str, amount: int, currency: str) -> tuple[Charge, bool]:
        """Return the charge of *key*, and whether it was made just now.

        Raises:
            Refusal: The key was charged for something else.
        """
        with self.lock:
            new = key not in self.charges
            if new:
                self.charges[key] = Charge(
                    f"ch_{len(self.charges) + 1:06}", reference, amount, currency
                )
        charge = self.charges[key]
        if (charge.reference, charge.amount, charge.currency) != (reference, amount, currency):
            raise Refusal(409, f"The idempotency key {key!r} belongs to another charge.")
        self.count("charged" if new else "repeated")
        return charge, new


class Gateway(ThreadingHTTPServer):
    """The gateway on a port of this machine; runs in threads, between ``with`` and its end.

    Attributes:
        ledger: What it charged.
        url: Where it answers.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *, port: int = 0, faults: Faults = NO_FAULTS) -> None:
        super().__init__(("127.0.0.1", port), GatewayHandler)
        self.faults = faults
        self.ledger = Ledger()
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host}:{port}"

    def __enter__(self) -> "Gateway":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Count a client that went away, as one does whose patience is at its end."""
        self.ledger.count("broken")


class GatewayHandler(BaseHTTPRequestHandler):
    """One connection to the gateway."""

    server: Gateway
    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds that a connection may be silent
    wbufsize = -1  # head and body leave in one packet
    disable_nagle_algorithm: ClassVar[bool] = True

    def do_GET(self) -> None:
        if self.path != "/charges":
            return self._answer(404, {"error": "There is /charges, and nothing else."})
        return self._answer(200, [asdict(each) for each in self.server.ledger.charges.values()])

    def do_POST(self) -> None:
        try:
            status, answer = self._charge()
        except Refusal as refusal:
            self.server.ledger.count("refused")
            status, answer = refusal.status, {"error": str(refusal)}
            self.close_connection = True  # what is left of the body is not read
        self._answer(status, answer)

    def _charge(self) -> tuple[int, dict]:
        ledger, faults = self.server.ledger, self.server.faults
        key, values = self._read_charge()
        fault = faults.pick(key, ledger.count_request(key))
        if fault:
            ledger.count(fault)
        if fault == "unavailable":
            return 503, {"error": "The bank does not answer. Try again."}
        if fault == "hanging":
            self.server.stopping.wait(faults.pause)
            return 504, {"error": "The bank did not answer in time."}
        charge, new = ledger.charge(key, **values)
        if fault == "late":
            self.server.stopping.wait(faults.pause)
        return 201 if new else 200, asdict(charge)

    def _read_charge(self) -> tuple[str, dict]:
        if self.path != "/charges":
            raise Refusal(404, "There is /charges, and nothing else.")
        key = self.headers.get("Idempotency-Key", "")
        length = self.headers.get("Content-Length", "")
        if not key:
            raise Refusal(400, "A charge needs an Idempotency-Key.")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            raise Refusal(413, f"A charge has a Content-Length of at most {LARGEST_BODY} bytes.")
        try:
            values = json.loads(self.rfile.read(int(length)))
        except ValueError:
            raise Refusal(400, "A charge is a JSON object.") from None
        return key, _checked(values)

    def _answer(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the ledger counts."""


def _checked(values: object) -> dict:
    if not isinstance(values, dict) or values.keys() != {"reference", "amount", "currency"}:
        raise Refusal(400, "A charge has a reference, an amount and a currency.")
    amount, currency = values["amount"], values["currency"]
    if type(amount) is not int or amount <= 0:
        raise Refusal(422, f"The amount has to be a whole number above 0, not {amount!r}.")
    if not isinstance(currency, str) or len(currency) != 3:
        raise Refusal(422, f"The currency has to be three letters, not {currency!r}.")
    return values
