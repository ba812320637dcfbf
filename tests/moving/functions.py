"""What a project with django-q2 had before its move."""


def send_receipt(order_id, copy_to=None):
    raise AssertionError("No worker runs here.")


class Mailer:
    def send(self):
        raise AssertionError("No worker runs here.")
