"""What text models share: encoders, and the files that turn text into ids.

The architectures, `inspection` and `overlay` may import this package. What a
checkpoint's own files say about an encoder lies below, in `checkpoints`.
"""
