"""EmoCLIP's downstream head."""
