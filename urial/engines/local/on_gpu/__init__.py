"""A GPU's own way through transformers' layers: fewer, larger kernels; each is tried before it is used."""
