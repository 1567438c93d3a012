"""Bounds of processes: what they may take, write and reach.

`limits` watches time, memory, disk and numbers from outside. `confinement`
withholds files and the network from within. Both know of processes alone, not
of what these do.
"""
