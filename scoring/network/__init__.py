"""The challenger: a small network on the scorecard's public cells, trained by DP-SGD in exact integer arithmetic."""
