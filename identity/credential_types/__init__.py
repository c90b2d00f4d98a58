"""The credential types that Credence scores: one JSON Schema a type, and the code that holds claims to it."""
