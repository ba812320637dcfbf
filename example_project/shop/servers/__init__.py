"""The two services that the shop depends on, as real servers of its own on this machine.

They know nothing of Django or of the shop: what they count can be held against its books.
"""
