"""What image models share: one classifier, published whole and sliced.

The architectures and `overlay` may import this package. What holds for Keras
models of any kind lies in `keras_models`.
"""
