"""The protocols: how a table of predictions is read and measured under each."""
