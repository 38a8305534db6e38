"""What all loops share that are compiled for the processor at hand: whose turn it is, and elementary functions."""
