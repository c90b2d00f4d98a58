"""Linked data: JSON-LD canonicalized and W3C's older proofs checked, in processes that can be killed."""
