"""The doors: routes, schemas on the wire, problem documents, tokens."""
