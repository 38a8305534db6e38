"""What a base model is given to read: methods, formats, checks, stops. Start with `methods.py`."""

from urial.prompts.checks import QUERY_LIMIT, check_history, check_query, check_unicode, load_history, to_messages
from urial.prompts.methods import EXAMPLE_COUNTS, METHODS, Method, MethodInfo, method
from urial.prompts.stops import StopFilter

__all__ = [
    "EXAMPLE_COUNTS",
    "METHODS",
    "QUERY_LIMIT",
    "Method",
    "MethodInfo",
    "StopFilter",
    "check_history",
    "check_query",
    "check_unicode",
    "load_history",
    "method",
    "to_messages",
]
