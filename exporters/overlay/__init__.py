"""What serves only `official/`: Model Garden's own commands on these exporters.

Only the modules below `official/` import this package; it may import any other.
"""
