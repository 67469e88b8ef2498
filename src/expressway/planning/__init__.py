"""From the configuration to the files there are to make: which, from which, made of what."""
