"""Exporters: checkpoints of Model Garden architectures become SavedModels.

At the top of this package lie the architectures, each a command such as
`python -m exporters.bert`, and the three modules that their authors read first:
`base` (the contract), `recipe` (what a gin file binds) and `errors`. What they
share lies in packages named by purpose; the docstring of each says what belongs
there, and pyproject.toml which package may import which.
"""
