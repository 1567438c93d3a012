"""From a checked SavedModel to the files that a publisher uploads, and back.

`publish` makes a release, `verify` and `reproduce` look at one. Gin files name
`page`, where a recipe says what its page says. `scripts` import the rest;
nothing that exports does.
"""
