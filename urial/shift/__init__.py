"""What rows of logits say of a token, and how two models' rows differ: one question, two ways to work it out."""
