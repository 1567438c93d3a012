"""What the fields of a gin-bound dataclass declare: types, and paths to read.

Any package but `checks` and `errors` may import this one, which imports only
`errors`.
"""
