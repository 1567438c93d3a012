"""Changes the checks of the contract one by one: do the tests notice?

  python -m scripts.mutants --minutes=60

docs/checks.md tells of it.
"""
