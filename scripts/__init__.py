"""Commands that are not exporters: `python -m scripts.NAME --help`.

Nothing else imports them, except tests.
"""
