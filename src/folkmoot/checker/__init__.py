"""The verdict: whether every acknowledged message reached every member once, in order."""
