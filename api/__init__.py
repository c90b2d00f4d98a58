"""The one room that sees the others: HTTP, SQL, settings, clock."""
