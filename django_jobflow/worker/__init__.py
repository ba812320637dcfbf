"""The worker: one coordinator a process does all queue work, its slots execute the bodies."""
