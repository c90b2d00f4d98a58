"""Schema to features to scorecard to score, and the privacy that training it spends."""
