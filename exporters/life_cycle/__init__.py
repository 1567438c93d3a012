"""From a recipe to a checked SavedModel at its path, complete or not at all.

Commands, releases and the overlay import it; architectures do not. It also has
the version, which commands and releases share.
"""
