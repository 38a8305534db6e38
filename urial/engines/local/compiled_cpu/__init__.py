"""Decoding steps as compiled loops, for processors, where Python between small operators costs more than the sums."""
