import socket
from contextlib import contextmanager
from http.client import HTTPConnection

from django.test import SimpleTestCase

from shop.payments import GatewayUnavailable, PaymentRefused, charge
from shop.servers.gateway import Charge, Faults, Gateway

CALL = {"reference": "A-1", "amount": 1580, "currency": "EUR"}
SURE = {"unavailable": 0, "hanging": 0, "late": 0, "pause": 5}


@contextmanager
def gateway(**faults: float):
    """Run a gateway that has *faults*, and the shop with it."""
    with (
        Gateway(faults=Faults(**(SURE | faults))) as server,
        SimpleTestCase().settings(GATEWAY_URL=server.url, GATEWAY_TIMEOUT=0.3),
    ):
        yield server


class ChargeTests(SimpleTestCase):
    def test_charge_is_made(self):
        with gateway() as server:
            charge_id = charge(**CALL)

        expected = {"order-A-1": Charge("ch_000001", **CALL)}
        self.assertEqual(("ch_000001", expected), (charge_id, server.ledger.charges))

    def test_second_call_is_no_second_charge(self):
        with gateway() as server:
            answers = [charge(**CALL), charge(**CALL)]

        self.assertEqual((["ch_000001"] * 2, 1), (answers, len(server.ledger.charges)))

    def test_lost_answer_is_no_second_charge(self):
        with gateway(late=1) as server:
            with self.assertRaises(GatewayUnavailable):
                charge(**CALL)
            server.faults = Faults(**SURE)
            charge_id = charge(**CALL)

        self.assertEqual(
            ("ch_000001", {"late": 1, "charged": 1, "repeated": 1}),
            (charge_id, {k: n for k, n in server.ledger.counts.items() if k != "broken"}),
        )

    def test_answer_503_is_worth_another_attempt(self):
        with gateway(unavailable=1), self.assertRaises(GatewayUnavailable) as caught:
            charge(**CALL)

        self.assertEqual(
            'The gateway answered 503: {"error": "The bank does not answer. Try again."}',
            str(caught.exception),
        )

    def test_silence_is_worth_another_attempt(self):
        with gateway(hanging=1) as server, self.assertRaises(GatewayUnavailable) as caught:
            charge(**CALL)

        expected = ("The gateway did not answer within 0.3 s.", {})
        self.assertEqual(expected, (str(caught.exception), server.ledger.charges))

    def test_nobody_there_is_worth_another_attempt(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            with self.settings(GATEWAY_URL=url), self.assertRaises(GatewayUnavailable) as caught:
                charge(**CALL)

        self.assertIn("ConnectionRefusedError", str(caught.exception))

    def test_wrong_amount_is_refused_for_good(self):
        with gateway(), self.assertRaises(PaymentRefused) as caught:
            charge(**CALL | {"amount": 0})

        self.assertEqual(
            'The gateway answered 422: {"error": "The amount has to be a whole number above 0, '
            'not 0."}',
            str(caught.exception),
        )

    def test_other_amount_under_the_same_reference_is_refused_for_good(self):
        with gateway() as server:
            charge(**CALL)
            with self.assertRaises(PaymentRefused):
                charge(**CALL | {"amount": 1})

        self.assertEqual(1, len(server.ledger.charges))


class GatewayTests(SimpleTestCase):
    def answer(self, server: Gateway, method: str, path: str, body: str, **headers: str) -> int:
        connection = HTTPConnection(*server.server_address[:2], timeout=5)
        self.addCleanup(connection.close)
        connection.request(method, path, body, headers)
        return connection.getresponse().status

    def test_malformed_requests_are_refused(self):
        key = {"Idempotency-Key": "k"}
        with gateway() as server:
            statuses = [
                self.answer(server, "POST", "/charges", "{}"),
                self.answer(server, "POST", "/charges", "{", **key),
                self.answer(server, "POST", "/charges", "[]", **key),
                self.answer(server, "POST", "/charges", "{}", **key),
                self.answer(server, "POST", "/charges", "x" * 20_000, **key),
                self.answer(server, "POST", "/refunds", "{}", **key),
                self.answer(server, "GET", "/", ""),
                self.answer(server, "GET", "/charges", ""),
            ]

        self.assertEqual([400, 400, 400, 400, 413, 404, 404, 200], statuses)

    def test_faults_follow_from_the_seed(self):
        keys = [(f"order-{number}", attempt) for number in range(5000) for attempt in (1, 2)]
        faults, same, others = Faults(), Faults(), Faults(seed=2)

        picked = [faults.pick(*key) for key in keys]

        self.assertEqual(picked, [same.pick(*key) for key in keys])
        self.assertNotEqual(picked, [others.pick(*key) for key in keys])
        self.assertAlmostEqual(0.04, picked.count("unavailable") / len(keys), delta=0.01)
        self.assertAlmostEqual(0.003, picked.count("hanging") / len(keys), delta=0.002)
        self.assertAlmostEqual(0.003, picked.count("late") / len(keys), delta=0.002)
