"""What `scripts.inspect` finds out about a checkpoint that nobody can identify.

Only scripts import this package: an export does not guess.
"""
