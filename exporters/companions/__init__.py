"""Companions: files for other runtimes that lie beside a SavedModel.

LiteRT (`.tflite`) and ONNX (`.onnx`), made from the SavedModel that was just
checked and compared with it in their own runtime. A companion that differs is
not there.

  making -> conversion.py, a process with TensorFlow and its converter
         -> parity.py, a process with the runtime alone

A recipe binds `Companions` as `recipe.Recipe.companions`.
"""

from exporters.companions.settings import Companions as Companions
