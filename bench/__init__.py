"""Measurements, one script each; they print what they found and exit 1 where it is not what it must be."""
