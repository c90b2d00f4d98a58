"""The revisions of the subject-key store, which is a database of its own."""
