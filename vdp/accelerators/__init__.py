"""Programs for GPUs and TPUs, compiled and read where there is none.

`targets` reads which chips are meant, `chips` has their figures, `programs` traces the programs of
a run, `products` counts their arithmetic, `compiling` compiles them, `hlo` and `kernels` read the
compiled text, `estimate` turns it into memory and least times, `largest` finds how many images fit,
`report` prints all of it.
"""
