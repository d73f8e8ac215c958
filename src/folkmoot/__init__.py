"""Folkmoot: group messaging in which every acknowledged message reaches every member once, in order."""

__version__ = "0.1.0"
