"""Worker processes on a database that both get into trouble, and what must hold all the same.

``python -m tests.chaos`` does it at random for as long as one likes, the tests beside it each
kind of trouble once.
"""
