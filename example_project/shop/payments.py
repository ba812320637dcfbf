"""The shop's side of the payment gateway: one call over HTTP."""

import json
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from django.conf import settings


class GatewayUnavailable(Exception):
    """The gateway did not answer, or says that it cannot now: worth another attempt."""


class PaymentRefused(Exception):
    """The gateway will not take this payment, however often it is asked."""


def charge(*, reference: str, amount: int, currency: str) -> str:
    """Charge *amount* (in the currency's smallest unit) and return the gateway's id of it.

    The reference is sent as the idempotency key too. So a call whose answer was lost can be
    made again: the gateway answers with the charge that it made the first time.

    Raises:
        GatewayUnavailable: Nothing is known about the charge; call again.
        PaymentRefused: There is no charge, and will be none.
    """
    status, body = _post(
        "/charges",
        {"reference": reference, "amount": amount, "currency": currency},
        {"Idempotency-Key": f"order-{reference}"},
    )
    if status in (200, 201):
        return _charge_id(body)
    answer = body.decode("utf-8", "replace")[:200]
    if status == 429 or status >= 500:
        raise GatewayUnavailable(f"The gateway answered {status}: {answer}")
    raise PaymentRefused(f"The gateway answered {status}: {answer}")


def _post(path: str, values: dict, headers: dict[str, str]) -> tuple[int, bytes]:
    gateway = urlsplit(settings.GATEWAY_URL)
    connection = HTTPConnection(gateway.hostname, gateway.port, timeout=settings.GATEWAY_TIMEOUT)
    try:
        connection.request(
            "POST", path, json.dumps(values), {"Content-Type": "application/json"} | headers
        )
        response = connection.getresponse()
        return response.status, response.read()
    except TimeoutError as error:
        raise GatewayUnavailable(
            f"The gateway did not answer within {settings.GATEWAY_TIMEOUT:g} s."
        ) from error
    except (OSError, HTTPException) as error:
        raise GatewayUnavailable(f"The gateway could not be reached: {error!r}.") from error
    finally:
        connection.close()


def _charge_id(body: bytes) -> str:
    try:
        return json.loads(body)["id"]
    except (ValueError, KeyError, TypeError) as error:
        raise GatewayUnavailable(f"The gateway's answer names no charge: {body!r:.200}") from error
