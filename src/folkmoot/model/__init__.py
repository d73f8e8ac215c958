"""Nouns and pure rules: what a group, an entry, a membership and a position are."""
