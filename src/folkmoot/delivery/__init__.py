"""Reach: knows which edges a group needs, and repairs what they miss."""
