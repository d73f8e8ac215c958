"""REST: the calls under `/v1`, one file a noun; rules are elsewhere, and the same as the socket's."""
