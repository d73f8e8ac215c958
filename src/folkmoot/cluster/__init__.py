"""A real cluster on this machine: its processes, where their data is, and how to strike them."""
