"""Not applied anywhere."""
