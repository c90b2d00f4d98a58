"""Private validation: one noised histogram of the persons held out, and what follows from it."""
