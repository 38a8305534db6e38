"""The embedded pair's aligned sibling: examples, training recipe, measures, adapter."""
