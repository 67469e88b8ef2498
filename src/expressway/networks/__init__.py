"""Networks of others: backbones, their weights and preprocessing."""
