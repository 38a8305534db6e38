"""The command line: arguments in, one document or a few lines out."""
