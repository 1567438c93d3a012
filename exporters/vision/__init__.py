"""What image models share: classifiers, masks, and images that come as files.

The architectures and `overlay` may import this package. What holds for Keras
models of any kind lies in `keras_models`.
"""
