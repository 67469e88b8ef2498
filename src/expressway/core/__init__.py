"""Tables, files, errors, jobs: used by every room, never part of a fingerprint."""
