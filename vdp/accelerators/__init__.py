"""Programs for GPUs and TPUs, compiled and read where there is none.

`targets` names the chips and their figures, `compiling` compiles for them, `programs` are those of
a run, `products` counts their arithmetic, `hlo` and `kernels` read what the compiler has made of
them, `floor` says how long that takes at least, `largest` how many images fit.
"""
