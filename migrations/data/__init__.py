"""The revisions of the database, one file each, oldest first by name."""
