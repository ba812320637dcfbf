import uuid

from django.db import models


class Order(models.Model):
    number = models.CharField(max_length=20, unique=True)
    email = models.EmailField()
    total = models.DecimalField(max_digits=10, decimal_places=2)

    def __str__(self):
        return self.number


class Receipt(models.Model):
    """Has a key before it is written."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    text = models.CharField(max_length=20)

    def __str__(self):
        return self.text
