"""Reads gin files, and says in their terms what is wrong with them.

`exporters.recipe` and what lies above it may import this package, which imports
only `errors`.
"""
