"""Everything in memory: the reference the other backends are compared with, and the embedded bus."""
