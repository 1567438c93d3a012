"""What exporters ask of functional tf_keras models: slices, losses, rates.

`vision`, the architectures and what lies above them may import this package; it
knows nothing of images or text.
"""
