"""What every command shares: flags, errors, progress, the summary.

Only what runs as a command imports it: `__main__` of an architecture,
`scripts`, `official`. TensorFlow is imported after the flags are read.
"""
