"""EmoCLIP."""
