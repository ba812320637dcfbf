"""What other tools are told of jobs, each behind an extra of its own."""
