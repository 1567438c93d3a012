"""What video models share: classifiers of whole videos and of streams.

The architectures and `overlay` may import this package. What holds for Keras
models of any kind lies in `keras_models`.
"""
