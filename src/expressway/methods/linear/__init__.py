"""Linear probe."""
