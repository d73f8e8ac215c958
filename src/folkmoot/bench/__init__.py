"""Measures on the user's own machine: what fan-out, idle connections, sends, history and a start cost the server."""
