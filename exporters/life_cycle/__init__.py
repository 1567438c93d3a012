"""From a recipe to a checked SavedModel at its path, whole or not at all.

Commands, releases and the overlay import it; architectures do not.
"""
