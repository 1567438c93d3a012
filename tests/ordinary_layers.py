"""Layers and functions such as ordinary models have: none may be refused."""

from collections.abc import Callable, Mapping

import tensorflow as tf
import tf_keras

layers = tf_keras.layers

_SEQUENCE, _IMAGE, _VOLUME = (16, 8), (16, 16, 3), (8, 8, 8, 2)
_VIDEO, _NUMBERS, _FEW = (4, 8, 8, 2), (6,), (3,)


def _masked(layer) -> Callable:
  return lambda x: layer(layers.Masking()(x))


def _attends(layer, **kwargs) -> Callable:
  return lambda x: layer(x, x, **kwargs)


def _pair(layer) -> Callable:
  return lambda x: layer([x, x])


_ACTIVATIONS = (
  "elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu "
  "relu6 selu sigmoid softmax softplus softsign swish tanh"
).split()

# A name, the shape of an input, and what is made of it.
LAYERS: Mapping[str, tuple[tuple[int, ...], Callable]] = {
  f"Activation {name}": (_SEQUENCE, layers.Activation(name))
  for name in _ACTIVATIONS
} | {
  "Conv1D": (_SEQUENCE, layers.Conv1D(4, 3)),
  "Conv1D causal": (
    _SEQUENCE,
    layers.Conv1D(4, 3, padding="causal", dilation_rate=2),
  ),
  "Conv1D dilated": (
    _SEQUENCE,
    layers.Conv1D(4, 3, dilation_rate=2, padding="same"),
  ),
  "Conv1DTranspose": (_SEQUENCE, layers.Conv1DTranspose(4, 3, strides=2)),
  "Conv2D": (_IMAGE, layers.Conv2D(4, 3, strides=2)),
  "Conv2D dilated": (
    _IMAGE,
    layers.Conv2D(4, 3, dilation_rate=2, padding="same"),
  ),
  "Conv2DTranspose": (_IMAGE, layers.Conv2DTranspose(4, 3, strides=2)),
  "Conv3D": (_VOLUME, layers.Conv3D(4, 3)),
  "Conv3D dilated": (_VOLUME, layers.Conv3D(4, 3, dilation_rate=2)),
  "Conv3DTranspose": (_VOLUME, layers.Conv3DTranspose(4, 3)),
  "DepthwiseConv1D": (_SEQUENCE, layers.DepthwiseConv1D(3)),
  "DepthwiseConv2D": (_IMAGE, layers.DepthwiseConv2D(3, strides=2)),
  "DepthwiseConv2D dilated": (
    _IMAGE,
    layers.DepthwiseConv2D(3, dilation_rate=2),
  ),
  "SeparableConv1D": (_SEQUENCE, layers.SeparableConv1D(4, 3)),
  "SeparableConv2D": (_IMAGE, layers.SeparableConv2D(4, 3)),
  "LocallyConnected1D": (_SEQUENCE, layers.LocallyConnected1D(4, 3)),
  "MaxPool1D": (_SEQUENCE, layers.MaxPool1D()),
  "MaxPool2D": (_IMAGE, layers.MaxPool2D()),
  "MaxPool3D": (_VOLUME, layers.MaxPool3D()),
  "AveragePooling1D": (_SEQUENCE, layers.AveragePooling1D()),
  "AveragePooling2D": (_IMAGE, layers.AveragePooling2D()),
  "AveragePooling3D": (_VOLUME, layers.AveragePooling3D()),
  "GlobalMaxPool2D": (_IMAGE, layers.GlobalMaxPool2D()),
  "GlobalAveragePooling3D": (_VOLUME, layers.GlobalAveragePooling3D()),
  "UpSampling1D": (_SEQUENCE, layers.UpSampling1D()),
  "UpSampling3D": (_VOLUME, layers.UpSampling3D()),
  "ZeroPadding1D": (_SEQUENCE, layers.ZeroPadding1D()),
  "ZeroPadding2D": (_IMAGE, layers.ZeroPadding2D()),
  "ZeroPadding3D": (_VOLUME, layers.ZeroPadding3D()),
  "Cropping1D": (_SEQUENCE, layers.Cropping1D()),
  "Cropping2D": (_IMAGE, layers.Cropping2D()),
  "Cropping3D": (_VOLUME, layers.Cropping3D()),
  "SimpleRNN": (_SEQUENCE, layers.SimpleRNN(4)),
  "LSTM": (_SEQUENCE, layers.LSTM(4)),
  "LSTM sequences": (_SEQUENCE, layers.LSTM(4, return_sequences=True)),
  "LSTM backwards": (_SEQUENCE, layers.LSTM(4, go_backwards=True)),
  "LSTM dropout": (
    _SEQUENCE,
    layers.LSTM(4, dropout=0.1, recurrent_dropout=0.1),
  ),
  "LSTM masked": (_SEQUENCE, _masked(layers.LSTM(3))),
  "LSTM unrolled": (_FEW + (2,), layers.LSTM(3, unroll=True)),
  "LSTM other activation": (_SEQUENCE, layers.LSTM(3, activation="relu")),
  "GRU": (_SEQUENCE, layers.GRU(4)),
  "GRU masked": (_SEQUENCE, _masked(layers.GRU(3))),
  "GRU reset before": (_SEQUENCE, layers.GRU(4, reset_after=False)),
  "Bidirectional LSTM": (_SEQUENCE, layers.Bidirectional(layers.LSTM(4))),
  "stacked RNN": (
    _SEQUENCE,
    layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]),
  ),
  "SimpleRNN masked": (_SEQUENCE, _masked(layers.SimpleRNN(3))),
  "ConvLSTM1D": (_SEQUENCE + (2,), layers.ConvLSTM1D(2, 3)),
  "ConvLSTM2D": (_VIDEO, layers.ConvLSTM2D(4, 3)),
  "TimeDistributed": (_SEQUENCE, layers.TimeDistributed(layers.Dense(3))),
  "TimeDistributed Conv2D": (
    _VIDEO,
    layers.TimeDistributed(layers.Conv2D(2, 3)),
  ),
  "MultiHeadAttention": (_SEQUENCE, _attends(layers.MultiHeadAttention(2, 4))),
  "MultiHeadAttention causal": (
    _SEQUENCE,
    _attends(layers.MultiHeadAttention(2, 4), use_causal_mask=True),
  ),
  "MultiHeadAttention dropout": (
    _SEQUENCE,
    _attends(layers.MultiHeadAttention(2, 4, dropout=0.1)),
  ),
  "Attention": (_SEQUENCE, _pair(layers.Attention(dropout=0.1))),
  "AdditiveAttention": (_SEQUENCE, _pair(layers.AdditiveAttention())),
  "LayerNormalization": (_SEQUENCE, layers.LayerNormalization()),
  "GroupNormalization": (_IMAGE, layers.GroupNormalization(1)),
  "UnitNormalization": (_SEQUENCE, layers.UnitNormalization()),
  "BatchNormalization": (_IMAGE, layers.BatchNormalization()),
  "BatchNormalization 1-D": (_SEQUENCE, layers.BatchNormalization()),
  "BatchNormalization 3-D": (_VOLUME, layers.BatchNormalization()),
  "SpectralNormalization": (
    _IMAGE,
    layers.SpectralNormalization(layers.Conv2D(2, 3)),
  ),
  "Dropout": (_SEQUENCE, layers.Dropout(0.1)),
  "SpatialDropout2D": (_IMAGE, layers.SpatialDropout2D(0.1)),
  "AlphaDropout": (_SEQUENCE, layers.AlphaDropout(0.1)),
  "GaussianDropout": (_SEQUENCE, layers.GaussianDropout(0.1)),
  "GaussianNoise": (_SEQUENCE, layers.GaussianNoise(0.1)),
  "ActivityRegularization": (_SEQUENCE, layers.ActivityRegularization(0.1)),
  "PReLU": (_SEQUENCE, layers.PReLU()),
  "ELU": (_SEQUENCE, layers.ELU()),
  "ReLU bounded": (_SEQUENCE, layers.ReLU(4.0, 0.1, 0.2)),
  "LeakyReLU": (_SEQUENCE, layers.LeakyReLU()),
  "ThresholdedReLU": (_SEQUENCE, layers.ThresholdedReLU()),
  "Softmax": (_SEQUENCE, layers.Softmax(1)),
  "Dense": (_NUMBERS, layers.Dense(3)),
  "EinsumDense": (_SEQUENCE, layers.EinsumDense("abc,cd->abd", (None, 4))),
  "Dot": (_SEQUENCE, _pair(layers.Dot(2))),
  "Dot normalized": (_SEQUENCE, _pair(layers.Dot(2, normalize=True))),
  "Add": (_SEQUENCE, _pair(layers.Add())),
  "Average": (_SEQUENCE, _pair(layers.Average())),
  "Concatenate": (_SEQUENCE, _pair(layers.Concatenate())),
  "Maximum": (_SEQUENCE, _pair(layers.Maximum())),
  "Minimum": (_SEQUENCE, _pair(layers.Minimum())),
  "Multiply": (_SEQUENCE, _pair(layers.Multiply())),
  "Subtract": (_SEQUENCE, _pair(layers.Subtract())),
  "Flatten": (_IMAGE, layers.Flatten()),
  "Permute": (_SEQUENCE, layers.Permute((2, 1))),
  "RepeatVector": (_NUMBERS, layers.RepeatVector(3)),
  "Reshape": (_SEQUENCE, layers.Reshape((8, 16))),
  "Embedding": (_NUMBERS, layers.Embedding(8, 4, mask_zero=True)),
  "Rescaling": (_IMAGE, layers.Rescaling(1 / 255)),
  "Normalization": (_SEQUENCE, layers.Normalization(mean=0.0, variance=1.0)),
  "CenterCrop": (_IMAGE, layers.CenterCrop(8, 8)),
  "RandomFlip": (_IMAGE, layers.RandomFlip()),
  "RandomRotation": (_IMAGE, layers.RandomRotation(0.1)),
  "RandomTranslation": (_IMAGE, layers.RandomTranslation(0.1, 0.1)),
  "RandomZoom": (_IMAGE, layers.RandomZoom(0.1)),
  "RandomContrast": (_IMAGE, layers.RandomContrast(0.1)),
  "RandomBrightness": (_IMAGE, layers.RandomBrightness(0.1)),
  "RandomCrop": (_IMAGE, layers.RandomCrop(8, 8)),
  "RandomHeight": (_IMAGE, layers.RandomHeight(0.1)),
  "RandomWidth": (_IMAGE, layers.RandomWidth(0.1)),
  "Discretization": (_FEW, layers.Discretization([0.0, 1.0])),
  "CategoryEncoding one-hot": ((1,), layers.CategoryEncoding(4, "one_hot")),
  "CategoryEncoding": (_FEW, layers.CategoryEncoding(4, "multi_hot")),
  "CategoryEncoding count": (_FEW, layers.CategoryEncoding(4, "count")),
  "IntegerLookup": (
    _FEW,
    lambda x: layers.IntegerLookup(vocabulary=[1, 2])(tf.cast(x, tf.int64)),
  ),
  "Hashing": (_FEW, lambda x: layers.Hashing(4)(tf.strings.as_string(x))),
  "HashedCrossing": (
    (1,),
    lambda x: layers.HashedCrossing(4)([tf.strings.as_string(x)] * 2),
  ),
  "StringLookup": (
    _FEW,
    lambda x: layers.StringLookup(vocabulary=["a"])(tf.strings.as_string(x)),
  ),
  "TextVectorization": (
    (1,),
    lambda x: layers.TextVectorization(vocabulary=["a", "b"])(
      tf.strings.as_string(x)
    ),
  ),
  "TextVectorization tf-idf": (
    (1,),
    lambda x: layers.TextVectorization(
      vocabulary=["a", "b"],
      idf_weights=[0.5, 0.5],
      output_mode="tf_idf",
      ngrams=2,
    )(tf.strings.as_string(x)),
  ),
  **{
    f"UpSampling2D {name}": (_IMAGE, layers.UpSampling2D(interpolation=name))
    for name in (
      "area bicubic bilinear gaussian lanczos3 lanczos5 mitchellcubic nearest"
    ).split()
  },
  **{
    f"Resizing {name}": (_IMAGE, layers.Resizing(8, 8, interpolation=name))
    for name in "area bicubic bilinear gaussian lanczos3 nearest".split()
  },
}


def _table(keys) -> tf.Tensor:
  table = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer([1, 2], [3, 4]), -1
  )
  return tf.cast(table.lookup(tf.cast(keys, tf.int32)), tf.float32)


def _loop(x) -> tf.Tensor:
  return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * x), (0, x))[
    1
  ]


def _array(x) -> tf.Tensor:
  array = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=None)
  for i in range(3):
    array = array.write(i, x[0] * 2.0)
  return array.stack()


def _optimized(optimizer: Callable) -> Callable:
  kept: dict[str, tuple] = {}

  def step(x) -> tf.Tensor:
    if not kept:
      kept["all"] = optimizer(), tf.Variable(1.0), tf.Variable(tf.ones([4, 2]))
    applied, scale, table = kept["all"]
    with tf.GradientTape() as tape:
      rows = tf.gather(table, tf.cast(x[0, 0, :2], tf.int32) % 4)
      loss = tf.reduce_sum(x * scale) + tf.reduce_sum(rows)
    gradients = tape.gradient(loss, [scale, table])
    applied.apply_gradients(zip(gradients, [scale, table], strict=True))
    return loss

  return step


def _from_generator(x) -> tf.Tensor:
  if not _GENERATORS:
    _GENERATORS.append(tf.random.Generator.from_seed(1))
  return x + _GENERATORS[0].normal(tf.shape(x))


_GENERATORS: list[tf.random.Generator] = []


def _from_data_set(x) -> tf.Tensor:
  data = tf.data.Dataset.from_tensor_slices(x).map(lambda y: y * 2.0).batch(2)
  return data.reduce(0.0, lambda total, y: total + tf.reduce_sum(y))


@tf.custom_gradient
def _of_custom_gradient(x):
  return x * 2.0, lambda upstream: upstream * 3.0


_compiled = tf.function(lambda x: tf.nn.relu(x) * 2.0, jit_compile=True)
_recomputed = tf.recompute_grad(lambda x: tf.tanh(x) * 2.0)


def _text(function: Callable) -> Callable:
  return lambda x: function(tf.strings.as_string(x[0, 0], 2))


def _square(function: Callable) -> Callable:
  return lambda x: function(x[:, :8, :8] + 9.0 * tf.eye(8))


def _picture(function: Callable) -> Callable:
  return lambda x: function(tf.repeat(x[..., tf.newaxis], 3, -1))


def _bytes(function: Callable) -> Callable:
  def call(x):
    image = tf.cast(tf.repeat(x[0][..., tf.newaxis], 3, -1), tf.uint8)
    return function(image)

  return call


def _ragged(function: Callable) -> Callable:
  return lambda x: function(
    tf.RaggedTensor.from_row_lengths(x[0], [1, 4, 0, 11])
  )


def _sparse(function: Callable) -> Callable:
  return lambda x: function(tf.sparse.from_dense(x[0]))


def _of_two(function: Callable) -> Callable:
  return lambda x: function(x, x + 1.0)


# Of a float32 [batch, 16, 8].
FUNCTIONS: Mapping[str, Callable] = {
  **{
    f"math.{name}": getattr(tf.math, name)
    for name in (
      "abs acosh asinh atan atanh bessel_i0 bessel_i1e ceil cos cosh "
      "cumulative_logsumexp digamma erf erfc erfcinv erfinv exp expm1 floor "
      "is_inf l2_normalize lbeta lgamma log log1p log_sigmoid ndtri "
      "reciprocal reduce_euclidean_norm reduce_logsumexp "
      "reduce_std reduce_variance rint rsqrt sigmoid sign sin sinh softsign "
      "sqrt square tan tanh"
    ).split()
  },
  **{
    f"math.{name}": _of_two(getattr(tf.math, name))
    for name in (
      "atan2 divide_no_nan floordiv floormod igamma igammac maximum minimum "
      "multiply_no_nan nextafter polygamma pow squared_difference truediv "
      "xdivy xlog1py xlogy zeta"
    ).split()
  },
  "math.betainc": lambda x: tf.math.betainc(x, x, tf.sigmoid(x)),
  "math.bincount": lambda x: tf.math.bincount(tf.cast(x, tf.int32)),
  "math.confusion_matrix": lambda x: tf.math.confusion_matrix(
    x[0, 0], x[0, 1], 3
  ),
  "math.cumprod": lambda x: tf.math.cumprod(x, 1),
  "math.in_top_k": lambda x: tf.math.in_top_k([1, 2], x[0, :2], 2),
  "math.segment_sum": lambda x: tf.math.segment_sum(x[0], tf.range(16)),
  "math.sobol_sample": lambda x: tf.math.sobol_sample(8, 16) + x,
  "math.special": lambda x: tf.math.special.dawsn(tf.math.special.spence(x)),
  "math.top_k": lambda x: tf.math.top_k(x, 2)[0],
  "math.unsorted_segment_mean": lambda x: tf.math.unsorted_segment_mean(
    x[0], tf.range(16), 16
  ),
  "math.is_nan": lambda x: tf.where(tf.math.is_nan(x), 0.0, x),
  "complex": lambda x: tf.math.angle(tf.complex(x, x)),
  "bitwise": lambda x: tf.bitwise.bitwise_xor(tf.cast(x, tf.int32), 3),
  "histogram": lambda x: tf.histogram_fixed_width(x, [0.0, 1.0]),
  "argsort": lambda x: tf.argsort(x),
  "sort": lambda x: tf.sort(x, direction="DESCENDING"),
  "searchsorted": lambda x: tf.searchsorted(x, x),
  "unique": lambda x: tf.unique_with_counts(x[0, 0])[2],
  "roll": lambda x: tf.roll(x, 1, 1),
  "reverse": lambda x: tf.reverse(x, [1]),
  "reverse_sequence": lambda x: tf.reverse_sequence(x[:1], [3], 1),
  "pad reflected": lambda x: tf.pad(x, [[0, 0], [1, 1], [0, 0]], "REFLECT"),
  "meshgrid": lambda x: tf.meshgrid(x[0, 0], x[0, 1])[0],
  "one_hot": lambda x: tf.one_hot(tf.cast(x, tf.int32), 3),
  "gather_nd": lambda x: tf.gather_nd(x, [[0, 1], [0, 2]]),
  "scatter": lambda x: tf.tensor_scatter_nd_max(x, [[0, 1]], x[:1, 2]),
  "dynamic_partition": lambda x: tf.dynamic_partition(x[0], [0, 1] * 8, 2)[0],
  "dynamic_stitch": lambda x: tf.dynamic_stitch(
    [[0, 1], [2]], [x[0, :2], x[0, 2:3]]
  ),
  "boolean_mask": lambda x: tf.boolean_mask(x, x > 0.0),
  "edit_distance": _sparse(lambda x: tf.edit_distance(x, x)),
  "cond": lambda x: tf.cond(tf.reduce_sum(x) > 0.0, lambda: x, lambda: -x),
  "switch_case": lambda x: tf.switch_case(
    tf.cast(x[0, 0, 0], tf.int32), [lambda: x, lambda: -x, lambda: 2.0 * x]
  ),
  "while_loop": _loop,
  "TensorArray": _array,
  "scan": lambda x: tf.scan(lambda a, b: a * b, x),
  "map_fn": lambda x: tf.map_fn(lambda y: y * 2.0, x),
  "vectorized_map": lambda x: tf.vectorized_map(
    lambda y: tf.linalg.inv(y[:4, :4] + 9.0 * tf.eye(4)), x
  ),
  "foldl": lambda x: tf.foldl(lambda a, b: a + b, x),
  "custom_gradient": _of_custom_gradient,
  "jit_compile": _compiled,
  "recompute_grad": _recomputed,
  "Assert": lambda x: tf.debugging.assert_all_finite(
    tf.ensure_shape(x, [None, 16, 8]), "not finite"
  ),
  "data set of tensors": _from_data_set,
  "table": _table,
  "mutable table": lambda x: tf.lookup.experimental.MutableHashTable(
    tf.int64, tf.float32, -1.0
  ).lookup(tf.cast(x[0, 0], tf.int64)),
  **{
    f"linalg.{name}": _square(getattr(tf.linalg, name))
    for name in (
      "adjoint cholesky det diag_part eigh expm inv logdet lu pinv qr "
      "slogdet sqrtm svd trace"
    ).split()
  },
  "linalg.band_part": lambda x: tf.linalg.band_part(x, 0, -1),
  "linalg.cross": lambda x: tf.linalg.cross(x[..., :3], x[..., 1:4]),
  "linalg.diag": lambda x: tf.linalg.diag(x, k=1),
  "linalg.eig": _square(tf.linalg.eig),
  "linalg.lstsq": _square(lambda x: tf.linalg.lstsq(x, x)),
  "linalg.set_diag": _square(lambda x: tf.linalg.set_diag(x, x[..., 0])),
  "linalg.solve": _square(lambda x: tf.linalg.solve(x, x)),
  "linalg.triangular_solve": _square(
    lambda x: tf.linalg.triangular_solve(x, x)
  ),
  "linalg.tridiagonal_solve": _square(
    lambda x: tf.linalg.tridiagonal_solve(x[:, :3], x[:, 0])
  ),
  "linalg.logm": _square(lambda x: tf.linalg.logm(tf.cast(x, tf.complex64))),
  "signal.dct": tf.signal.dct,
  "signal.fft": lambda x: tf.signal.fft2d(tf.cast(x, tf.complex64)),
  "signal.fftnd": lambda x: tf.signal.fftnd(tf.cast(x, tf.complex64)),
  "signal.frame": lambda x: tf.signal.frame(x[..., 0], 4, 2),
  "signal.irfft": lambda x: tf.signal.irfft(tf.cast(x, tf.complex64)),
  "signal.mdct": lambda x: tf.signal.mdct(x[..., 0], 8),
  "signal.mfcc": tf.signal.mfccs_from_log_mel_spectrograms,
  "signal.overlap_and_add": lambda x: tf.signal.overlap_and_add(x, 2),
  "signal.stft": lambda x: tf.signal.inverse_stft(
    tf.signal.stft(x[..., 0], 8, 4), 8, 4
  ),
  "audio": lambda x: tf.audio.decode_wav(tf.audio.encode_wav(x[0], 8000)).audio,
  "image.adjust_contrast": _picture(lambda x: tf.image.adjust_contrast(x, 2.0)),
  "image.adjust_hue": _picture(lambda x: tf.image.adjust_hue(x, 0.1)),
  "image.adjust_gamma": _picture(tf.image.adjust_gamma),
  "image.adjust_saturation": _picture(
    lambda x: tf.image.adjust_saturation(x, 2.0)
  ),
  "image.central_crop": _picture(lambda x: tf.image.central_crop(x, 0.5)),
  "image.combined_nms": lambda x: (
    tf.image.combined_non_max_suppression(
      x[:, :, tf.newaxis, :4], x[:, :, 4:], 2, 4
    ).nmsed_boxes
  ),
  "image.crop_and_resize": _picture(
    lambda x: tf.image.crop_and_resize(x, [[0.0, 0.0, 1.0, 1.0]], [0], [4, 4])
  ),
  "image.draw_bounding_boxes": _picture(
    lambda x: tf.image.draw_bounding_boxes(
      x[:1], [[[0.0, 0.0, 1.0, 1.0]]], [[1.0, 0.0, 0.0]]
    )
  ),
  "image.extract_glimpse": _picture(
    lambda x: tf.image.extract_glimpse(x[:1], [4, 4], [[0.0, 0.0]])
  ),
  "image.extract_patches": _picture(
    lambda x: tf.image.extract_patches(
      x, [1, 2, 2, 1], [1, 2, 2, 1], [1] * 4, "VALID"
    )
  ),
  "image.hsv": _picture(lambda x: tf.image.hsv_to_rgb(tf.image.rgb_to_hsv(x))),
  "image.jpeg": _bytes(lambda x: tf.image.decode_jpeg(tf.io.encode_jpeg(x))),
  "image.decode_image": _bytes(
    lambda x: tf.image.decode_image(tf.io.encode_png(x))
  ),
  "image.jpeg_quality": _bytes(
    lambda x: tf.image.random_jpeg_quality(x, 50, 60)
  ),
  "image.non_max_suppression": lambda x: tf.gather(
    x[0], tf.image.non_max_suppression(x[0, :, :4], x[0, :, 0], 2)
  ),
  "image.psnr": _picture(lambda x: tf.image.psnr(x, x, 1.0)),
  "image.random": _picture(
    lambda x: tf.image.random_hue(
      tf.image.random_flip_left_right(tf.image.random_brightness(x, 0.1)), 0.1
    )
  ),
  "image.random_crop": _picture(
    lambda x: tf.image.random_crop(x, [1, 4, 4, 3])
  ),
  "image.resize area": _picture(lambda x: tf.image.resize(x, [4, 4], "area")),
  "image.resize antialias": _picture(
    lambda x: tf.image.resize(x, [4, 4], antialias=True)
  ),
  "image.rot90": _picture(tf.image.rot90),
  "image.sample_distorted": lambda x: (
    tf.image.sample_distorted_bounding_box(
      [8, 8, 3], [[[0.0, 0.0, 1.0, 1.0]]], min_object_covered=0.1
    ).bboxes
  ),
  "image.sobel_edges": _picture(tf.image.sobel_edges),
  "image.ssim": _picture(lambda x: tf.image.ssim(x, x, 1.0, filter_size=3)),
  "image.total_variation": _picture(tf.image.total_variation),
  "nn.atrous_conv2d": _picture(
    lambda x: tf.nn.atrous_conv2d(x, tf.ones([2, 2, 3, 2]), 2, "SAME")
  ),
  "nn.batch_normalization": lambda x: tf.nn.batch_normalization(
    x, *tf.nn.moments(x, [0]), None, None, 1e-3
  ),
  "nn.crelu": tf.nn.crelu,
  "nn.ctc_greedy_decoder": lambda x: tf.nn.ctc_greedy_decoder(
    tf.transpose(x[:1], [1, 0, 2]), [16]
  )[1],
  "nn.ctc_beam_search": lambda x: tf.nn.ctc_beam_search_decoder(
    tf.transpose(x[:1], [1, 0, 2]), [16]
  )[1],
  "nn.ctc_loss": lambda x: tf.nn.ctc_loss(
    [[1, 2]], x[:1], [2], [16], logits_time_major=False
  ),
  "nn.depth_to_space": lambda x: tf.nn.depth_to_space(x[:, tf.newaxis], 2),
  "nn.dilation2d": _picture(
    lambda x: tf.nn.dilation2d(
      x, tf.ones([2, 2, 3]), [1] * 4, "SAME", "NHWC", [1] * 4
    )
  ),
  "nn.embedding_lookup_sparse": lambda x: tf.nn.embedding_lookup_sparse(
    x[0], tf.SparseTensor([[0, 0]], [tf.constant(1, tf.int64)], [1, 1]), None
  ),
  "nn.fractional_max_pool": _picture(
    lambda x: tf.nn.fractional_max_pool(x, 1.5)[0]
  ),
  "nn.fractional_avg_pool": _picture(
    lambda x: tf.nn.fractional_avg_pool(x[0][tf.newaxis], [1.0, 1.5, 1.5, 1.0])[
      0
    ]
  ),
  "nn.isotonic_regression": lambda x: tf.nn.isotonic_regression(x[0])[0],
  "nn.local_response_normalization": _picture(
    tf.nn.local_response_normalization
  ),
  "nn.max_pool_with_argmax": _picture(
    lambda x: tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")[0]
  ),
  "nn.sampled_softmax_loss": lambda x: tf.nn.sampled_softmax_loss(
    tf.ones([9, 8]), tf.ones([9]), tf.constant([[1]]), x[:1, 0], 2, 9
  ),
  "nn.nce_loss": lambda x: tf.nn.nce_loss(
    tf.ones([9, 8]), tf.ones([9]), tf.constant([[1]]), x[:1, 0], 2, 9
  ),
  "nn.sigmoid_cross_entropy": lambda x: tf.nn.sigmoid_cross_entropy_with_logits(
    x, x
  ),
  "nn.softmax_cross_entropy": lambda x: tf.nn.softmax_cross_entropy_with_logits(
    x, x
  ),
  "nn.sparse_softmax_cross_entropy": lambda x: (
    tf.nn.sparse_softmax_cross_entropy_with_logits([1], x[:1, 0])
  ),
  "nn.space_to_batch": _picture(
    lambda x: tf.nn.space_to_depth(
      tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]]), 2
    )
  ),
  "quantization": lambda x: tf.quantization.fake_quant_with_min_max_vars(
    tf.quantization.quantize_and_dequantize_v2(x, 0.0, 1.0), 0.0, 1.0
  ),
  "quantize": lambda x: tf.quantization.dequantize(
    *tf.quantization.quantize(x, 0.0, 1.0, tf.quint8)
  ),
  "random.normal": lambda x: x + tf.random.normal([16, 8]),
  "random.categorical": lambda x: tf.random.categorical(x[0], 2),
  "random.gamma": lambda x: tf.random.gamma([2], tf.exp(x)),
  "random.poisson": lambda x: tf.random.poisson([2], tf.exp(x)),
  "random.shuffle": lambda x: tf.random.shuffle(x),
  "random.stateless": lambda x: (
    tf.random.stateless_truncated_normal([8], [1, 2])
    + tf.random.stateless_uniform([8], [1, 2])
    + x
  ),
  "random.stateless_gamma": lambda x: (
    tf.random.stateless_gamma([16, 8], [1, 2], 2.0) + x
  ),
  "random.Generator": _from_generator,
  "random.truncated_normal": lambda x: x + tf.random.truncated_normal([8]),
  "ragged.concat": _ragged(lambda x: tf.concat([x, x], 1).to_tensor()),
  "ragged.map_fn": _ragged(
    lambda x: tf.map_fn(tf.reduce_sum, x, fn_output_signature=tf.float32)
  ),
  "ragged.range": lambda x: tf.ragged.range([1, 2]).to_tensor(),
  "ragged.reduce": _ragged(lambda x: tf.reduce_mean(x, 1)),
  "ragged.to_sparse": _ragged(lambda x: tf.sparse.to_dense(x.to_sparse())),
  "sets": lambda x: (
    tf.sets.union(tf.cast(x[0], tf.int32), tf.cast(x[0], tf.int32)).values
  ),
  "sparse.concat": _sparse(
    lambda x: tf.sparse.to_dense(tf.sparse.concat(0, [x, x]))
  ),
  "sparse.matmul": _sparse(
    lambda x: tf.sparse.sparse_dense_matmul(x, tf.ones([8, 2]))
  ),
  "sparse.reduce_sum": _sparse(lambda x: tf.sparse.reduce_sum(x, 1)),
  "sparse.softmax": _sparse(lambda x: tf.sparse.to_dense(tf.sparse.softmax(x))),
  "sparse.slice": _sparse(
    lambda x: tf.sparse.to_dense(tf.sparse.slice(x, [0, 0], [2, 2]))
  ),
  "sparse.fill_empty_rows": _sparse(
    lambda x: tf.sparse.fill_empty_rows(x, 0.0)[0].values
  ),
  "strings.base64": _text(
    lambda x: tf.io.decode_base64(tf.io.encode_base64(x))
  ),
  "strings.bytes_split": _text(lambda x: tf.strings.bytes_split(x).to_tensor()),
  "strings.format": _text(lambda x: tf.strings.format("{}", x)),
  "strings.join": _text(lambda x: tf.strings.reduce_join(x, separator=" ")),
  "strings.lower": _text(lambda x: tf.strings.upper(tf.strings.lower(x))),
  "strings.ngrams": _text(lambda x: tf.strings.ngrams(x, 2)),
  "strings.regex": _text(
    lambda x: tf.strings.regex_replace(
      x, "[0-9]", tf.where(tf.strings.regex_full_match(x, "a"), "b", "c")[0]
    )
  ),
  "strings.split": _text(lambda x: tf.strings.split(x, ".").to_tensor()),
  "strings.substr": _text(lambda x: tf.strings.substr(x, 0, 1)),
  "strings.to_hash_bucket": _text(
    lambda x: (
      tf.strings.to_hash_bucket_strong(x, 9, [1, 2])
      + tf.strings.to_hash_bucket_fast(x, 9)
    )
  ),
  "strings.to_number": _text(tf.strings.to_number),
  "strings.unicode": _text(
    lambda x: tf.strings.unicode_encode(
      tf.strings.unicode_decode(x, "UTF-8"), "UTF-8"
    )
  ),
  "strings.unicode_script": _text(
    lambda x: tf.strings.unicode_script(
      tf.strings.unicode_decode(x, "UTF-8").values
    )
  ),
  "io.decode_raw": _text(
    lambda x: tf.io.decode_raw(tf.strings.substr(x, 0, 1), tf.uint8)
  ),
  "io.parse_example": _text(
    lambda x: tf.io.parse_example(
      x,
      {
        "a": tf.io.FixedLenFeature([], tf.float32, 0.0),
        "b": tf.io.VarLenFeature(tf.string),
        "c": tf.io.RaggedFeature(tf.int64),
      },
    )["a"]
  ),
  "io.parse_tensor": lambda x: tf.io.parse_tensor(
    tf.io.serialize_tensor(x), tf.float32
  ),
  **{
    f"optimizer {name}": _optimized(getattr(tf_keras.optimizers, name))
    for name in (
      "Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion Nadam RMSprop SGD"
    ).split()
  },
  **{
    f"optimizer legacy {name}": _optimized(
      getattr(tf_keras.optimizers.legacy, name)
    )
    for name in "Adadelta Adagrad Adam Adamax Ftrl Nadam RMSprop SGD".split()
  },
  "optimizer momentum": _optimized(
    lambda: tf_keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
  ),
  "optimizer amsgrad": _optimized(
    lambda: tf_keras.optimizers.legacy.Adam(amsgrad=True)
  ),
}


def trace_layer(name: str) -> tf.Graph:
  """Traces a layer: inference, training, and gradients."""
  shape, layer = LAYERS[name]
  inputs = layers.Input(shape)
  model = tf_keras.Model(inputs, layer(inputs))

  def call(x):
    return model(x, training=False), _and_gradients(
      lambda: [model(x, training=True), *model.losses],
      x,
      lambda: model.trainable_variables,
    )

  return _graph(call, (None, *shape))


def trace_function(name: str) -> tf.Graph:
  """Traces a function, and its gradient where it has one."""
  function = FUNCTIONS[name]

  def call(x):
    return _and_gradients(lambda: function(x), x, list)

  return _graph(call, (None, 16, 8))


def _and_gradients(compute: Callable, x: tf.Tensor, variables: Callable):
  with tf.GradientTape() as tape:
    tape.watch(x)
    outputs = compute()
  try:
    return outputs, tape.gradient(outputs, [x, *variables()])
  except LookupError:  # One of the operations has none.
    return outputs


def _graph(call: Callable, shape: tuple[int | None, ...]) -> tf.Graph:
  spec = tf.TensorSpec(shape, tf.float32)
  return tf.function(call, autograph=False).get_concrete_function(spec).graph
