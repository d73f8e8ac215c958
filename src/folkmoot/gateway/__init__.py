"""The edge: takes sends in and writes entries out to connected members."""
