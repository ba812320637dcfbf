"""What each page and action of the admin costs on large tables.

``python -m benchmarks desk`` fills tables with ten million rows, asks for every page several
times, and writes what that took into ``docs/explanation/admin-at-ten-million.md``. The tests ask
for the same requests on smaller tables, and read the plans of their statements.
"""
