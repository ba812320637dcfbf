"""A small tea shop: orders come in, are paid at a gateway, and are answered with a receipt."""
