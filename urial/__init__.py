"""URIAL side by side: a base model with a prompt, its chat-tuned sibling, and every token's shift between them."""

__version__ = "0.1.0"
