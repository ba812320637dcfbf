"""The translations: what is to be translated, what is not yet, and the files that Django reads.

``python -m catalogues update`` brings the catalogues up to the code and the templates,
``python -m catalogues check`` says what is missing or wrong in them, and
``python -m catalogues compile`` writes the ``.mo`` files, which builds and test runs do, too.
"""
