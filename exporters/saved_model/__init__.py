"""The form of a SavedModel: what is published, written, described.

It knows nothing of checkpoints, recipes or releases, so all of these, and
every architecture, may import it.
"""
