"""Bodies on an executor that the project names: in other processes, or on other hosts.

What goes there is a ``Parcel``, what comes back an ``Answer``; reservation, leases and ends stay
with the worker. On its side are ``dispatch`` and ``desk``, on the other ``entry``, ``station``
and ``attendant``.
"""
