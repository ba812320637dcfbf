"""The shop put on show: its services and a real worker, started, watched and counted."""
