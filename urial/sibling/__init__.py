"""The embedded pair's aligned sibling: examples, training recipe, measures, adapter.

Knows how a small aligned model is made from a base and a file of examples; knows nothing about comparing two models.
"""
