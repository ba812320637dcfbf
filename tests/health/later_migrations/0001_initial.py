"""Only its name counts: the migrations of a version that is newer than the database."""
