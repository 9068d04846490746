"""One file for each `--mode` of the command line: what it does, from settings to files."""
