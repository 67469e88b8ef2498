"""The commands of the command line: a file per verb, of its name."""
