"""Loops over arrays, compiled for the processor at hand; they know neither models nor engines.

How: `flavours.py` (ways to compile, and where it is kept), `ahead.py` and `second_process.py` (compiling before there
is a model), `cores.py` (whose turn it is), `sharing.py` (work for all cores), `memory.py` (where arrays begin),
`functions.py` (exp and log).
What: `packing.py` and `scales.py` (weights in the fewest bytes), `products.py` and `simd.py` (sums of products, vector
by vector), `by_address.py` (these, compiled), `matrices.py` and `multiply.py` (a matrix, and all of its product),
`attention.py`, `decoder.py` (the rest of a layer), `layers.py` (all).
"""
