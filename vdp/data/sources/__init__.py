"""One file per data set, found by its name.

Each has `info(arg, request=None) -> Info`, which needs no file where the facts are fixed, and
`load(arg, request) -> (Info, {"train": Split, "test": Split})`; `arg` is what follows the colon
of the data set's name. Without a "test" split a tenth of "train" is held out for it; a
"validation" split is used as it is. Files whose name starts with an underscore are shared helpers.
"""
