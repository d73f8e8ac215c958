"""One folder an outside system, one file a port it serves."""
