"""How well models predict rows that they have not seen: raw figures, for public and development data only."""
