"""A GPU's own way through transformers' layers: fewer, larger kernels, tried before they are used."""
