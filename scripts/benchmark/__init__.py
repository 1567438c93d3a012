"""`python -m scripts.benchmark`: this repository beside Model Garden's own.

Nothing else imports it.
"""
