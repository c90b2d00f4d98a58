"""Attack the privacy claim: the real releases on small data, told apart as well as a full-knowledge adversary can."""
