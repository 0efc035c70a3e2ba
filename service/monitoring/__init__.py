"""Seeing what the service sees: payload log, feedback and drift, each off unless it is asked for.

::

    prediction route ─ begin ─► answered ─ finish ─┬─► feedback/: the answer is remembered
                                                   └─► a thread (sampled requests only)
                                                          ├─► drift/: windows per head
                                                          └─► payloads/: events to a file or a sink

Nothing here makes a request wait or fail.
"""
