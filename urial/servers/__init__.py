"""Servers that speak the OpenAI interface, as HTTP: for models (`engines/server/`) and for judges (`judge/`).

`client.py` is one server's requests to its completions, `address.py` where it is and its key, `admission.py` the queue
before it, `retry.py` waits and tries, `failures.py` what is raised. `event_stream.py` and `lenient_json.py` read what
it sends; `event_loop.py` is the thread that all connections live on.
"""
