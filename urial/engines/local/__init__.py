"""Models of this process: one scheduler thread, sequences, and runners, one file each."""
