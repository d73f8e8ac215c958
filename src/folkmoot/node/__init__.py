"""One process: its settings, its wiring, its life."""
