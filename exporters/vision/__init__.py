"""What image models share: one classifier gives logits and a feature vector.

The architectures and `overlay` may import this package. What holds for Keras
models of any kind lies in `keras_models`.
"""
