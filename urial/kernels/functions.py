"""exp, log and the greatest number in float32 for compiled loops, in a form that the compiler turns into vectors.

The C library's take one number at a time. Minimax polynomials after range reduction, as in Cephes (S. Moshier,
expf.c and logf.c); both within 2e-7 of the true value, relatively. What is not a number stays so.
"""

from __future__ import annotations

import numpy as np

from urial.kernels.flavours import as_written

FLOAT, WHOLE = np.float32, np.int32
LEAST, MOST = FLOAT(-87), FLOAT(88)  # exp of less is 0 here; of more it is exp of this
PER_LN_2 = FLOAT(1.44269504)
LN_2, LN_2_REST = FLOAT(0.693359375), FLOAT(-2.12194440e-4)  # together ln 2; the first has few digits
ROUNDER = FLOAT(12582912)  # 1.5 * 2^23: added and taken away, it leaves a whole number
MANTISSA, BIAS = WHOLE(23), WHOLE(127)
ROOT_HALF = WHOLE(0x3F3504F3)  # the bits of the square root of 1/2
ONE, HALF = FLOAT(1), FLOAT(0.5)
SIGN, ALL_BUT_SIGN = WHOLE(31), WHOLE(0x7FFFFFFF)


@as_written
def exp(x):
    """e to the power x."""
    inside = LEAST if x < LEAST else (MOST if x > MOST else x)
    halvings = (inside * PER_LN_2 + ROUNDER) - ROUNDER
    rest = inside - halvings * LN_2
    rest = rest - halvings * LN_2_REST
    series = FLOAT(1.9875691500e-4)
    series = series * rest + FLOAT(1.3981999507e-3)
    series = series * rest + FLOAT(8.3334519073e-3)
    series = series * rest + FLOAT(4.1665795894e-2)
    series = series * rest + FLOAT(1.6666665459e-1)
    series = series * rest + FLOAT(5.0000001201e-1)
    series = series * (rest * rest) + rest + ONE
    power = WHOLE((WHOLE(halvings) + BIAS) << MANTISSA).view(FLOAT)
    return FLOAT(0) if x < LEAST else series * power


@as_written
def log(x):
    """The natural logarithm of a normal number above 0."""
    bits = FLOAT(x).view(WHOLE)
    exponent = WHOLE(WHOLE(bits - ROOT_HALF) >> MANTISSA)
    rest = WHOLE(bits - WHOLE(exponent << MANTISSA)).view(FLOAT) - ONE  # from sqrt(1/2) - 1 to sqrt(2) - 1
    square = rest * rest
    series = FLOAT(7.0376836292e-2)
    series = series * rest + FLOAT(-1.1514610310e-1)
    series = series * rest + FLOAT(1.1676998740e-1)
    series = series * rest + FLOAT(-1.2420140846e-1)
    series = series * rest + FLOAT(1.4249322787e-1)
    series = series * rest + FLOAT(-1.6668057665e-1)
    series = series * rest + FLOAT(2.0000714765e-1)
    series = series * rest + FLOAT(-2.4999993993e-1)
    series = series * rest + FLOAT(3.3333331174e-1)
    series = series * rest * square + FLOAT(exponent) * LN_2_REST - HALF * square
    return rest + series + FLOAT(exponent) * LN_2


@as_written
def _in_order(bits):
    """The bits of a float32 as a whole number that is greater where the float is; its own inverse."""
    return WHOLE(bits ^ WHOLE(WHOLE(bits >> SIGN) & ALL_BUT_SIGN))


@as_written
def greatest_of(values):
    """The greatest of some numbers [n], -inf of none; where one is no number, it may be that.

    Of whole numbers, as the compiler makes no vectors of comparisons that have to heed what is no number.
    """
    most = _in_order(FLOAT(-np.inf).view(WHOLE))
    for k in range(values.shape[0]):
        here = _in_order(FLOAT(values[k]).view(WHOLE))
        most = here if here > most else most
    return WHOLE(_in_order(most)).view(FLOAT)
