"""Native decoders in processes of their own: what kills one costs a single request.

::

    host thread ─ DecoderPool.prepare ─► DecoderProcess ═ socket ═► worker: decode, prepare
                                               ▲                       ▲ fork
                                               └────── nursery ────────┘ (has imported the codecs)

Libraries such as libtiff, FFmpeg and RDKit read whatever strangers send. One that crashes, hangs or
takes all memory would take the service with it, so it works in a process with bounds on memory and
time, which is replaced when it is lost. What comes back is plain JSON and arrays of numbers, never
a pickle: a process that was taken over can say nothing but a wrong answer.
"""
