"""What is wrong with outputs of images: of detectors, masks and scores."""

import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from exporters import checks
from exporters.checks import detections
from exporters.checks import images
from exporters.checks import masks
from tests import closeness

_NAN = float("nan")


def _found(**changes) -> dict[str, np.ndarray]:
  """Returns what was found in one image, of which the last is padding."""
  found = {
    "boxes": [[[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1], [0, 0, 0, 0]]],
    "classes": [[1, 2, 1]],
    "scores": [[1, 0.4, 0]],
  } | changes
  outputs = {f"detection_{n}": np.float32(v) for n, v in found.items()}
  return outputs | {"num_detections": np.float32([2])}


def _detector(
  folder: pathlib.Path, axes=(1, 2, 3), left_out="", **changes
) -> checks.Candidate:
  """Returns a detector of 8 x 8 images, with two of them as its sample.

  Args:
    folder: An empty one.
    axes: The score of an image's first box is the mean over these.
    left_out: What its signature does not give.
    **changes: As those of `_found`.
  """
  spec = tf.TensorSpec([None, 8, 8, 3], tf.float32, "inputs")

  @tf.function(input_signature=[spec])
  def detect(inputs):
    size = tf.shape(inputs)[0]
    one = {
      name: tf.constant(values) for name, values in _found(**changes).items()
    }
    found = {name: tf.repeat(values, size, 0) for name, values in one.items()}
    mean = tf.reduce_mean(inputs, axes, keepdims=True)[..., 0, 0]
    scores = tf.constant([[1.0, 0, 0]]) * mean + tf.constant([[0, 0.25, 0]])
    return found | {"detection_scores": scores * tf.ones([size, 1])}

  @tf.function(input_signature=[spec])
  def serve(inputs):
    return {k: v for k, v in detect(inputs).items() if k != left_out}

  model = tf.train.Checkpoint()
  model.__call__ = detect
  # Which nobody says that it is a detector.
  model.part = tf.train.Checkpoint()
  model.part.__call__ = detect
  tf.saved_model.save(model, str(folder / "model"), serve)
  images = tf.fill([2, 8, 8, 3], 0.5) * tf.reshape([1.0, 2.0], [2, 1, 1, 1])
  arrays: list[np.ndarray] = []
  case = {
    "arguments": [checks.encode(images, arrays)],
    "outputs": checks.encode(detect(images), arrays),
  }
  stated = {"serving": "", "hyperparameters": {}, "cases": [case]}
  reference = {"": stated | {"api": "detector"}, "part": stated | {"api": None}}
  return checks.Candidate(
    path=str(folder / "model"),
    scratch=str(folder),
    private=[],
    level=checks.BASIC,
    keras=False,
    stranger=False,
    ask=lambda: (reference, arrays),
  )


class TestDetections:
  @pytest.mark.parametrize(
    ("change", "expected"),
    [
      ({}, []),
      ({"boxes": [[[0, 0, 1, 1.1], [0] * 4, [0] * 4]]}, ["a box is not in"]),
      ({"boxes": [[[0, -0.1, 1, 1], [0] * 4, [0] * 4]]}, ["a box is not in"]),
      (
        {"boxes": [[[0, 0, 1, _NAN], [0] * 4, [0] * 4]]},
        ["a box is not in", "a box ends before"],
      ),
      ({"boxes": [[[0.5, 0, 0.4, 1], [0] * 4, [0] * 4]]}, ["a box ends"]),
      ({"boxes": [[[0, 0.5, 1, 0.4], [0] * 4, [0] * 4]]}, ["a box ends"]),
      ({"boxes": [[[0] * 4] * 2]}, ["detection_boxes are (1, 2, 4), "]),
      ({"boxes": [[[0] * 5] * 3]}, ["detection_boxes are (1, 3, 5), "]),
      ({"scores": [1, 0.4, 0]}, ["detection_boxes are (1, 3, 4), "]),
      (
        {"scores": [1, 0.4, 0], "boxes": [[0] * 4] * 3},
        ["detection_boxes are (3, 4), "],
      ),
      ({"scores": [[0.4, 0.4, 0]]}, []),
      ({"scores": [[0.3, 0.4, 0]]}, ["scores do not fall"]),
      (
        {
          "scores": [[1, 0.4, 0, 0]],
          "boxes": [[[0] * 4] * 4],
          "classes": [[1] * 4],
        },
        [],
      ),
      ({"scores": [[1.1, 0.4, 0]]}, ["scores do not fall"]),
      (
        {"scores": [[1, 0.4, 0.1]]},
        ["num_detections is not how many scores are above 0"],
      ),
      ({"classes": [[1, 0, 1]]}, ["a class is not a whole number from 1"]),
      ({"classes": [[1, 1.5, 1]]}, ["a class is not a whole number from 1"]),
      ({"classes": [[1, 2, 0.5]]}, []),
      ({"masks": [[[0.0, 1.0]]]}, []),
      ({"masks": [[[0.0, 1.1]]]}, ["a mask is not in [0, 1]"]),
      ({"masks": [[[-0.1, 1.0]]]}, ["a mask is not in [0, 1]"]),
    ],
  )
  def test_what_is_wrong_is_said(self, change, expected):
    said = [*detections._deviations(_found(**change), cut=True)]
    assert len(said) == len(expected)
    for text, beginning in zip(said, expected, strict=True):
      assert text.startswith(beginning)

  def test_a_box_with_a_mask_is_not_cut(self):
    found = _found(boxes=[[[0, 0, 1.5, 1], [0] * 4, [0] * 4]])
    assert [*detections._deviations(found, cut=False)] == []
    found = _found(boxes=[[[-0.5, 0, 1, 1], [0] * 4, [0] * 4]])
    assert [*detections._deviations(found, cut=False)] == [
      "a box is not in the image"
    ]

  def test_every_output_is_there_and_float32(self):
    found = _found()
    found["detection_scores"] = found["detection_scores"].astype(np.float64)
    assert [*detections._deviations(found, cut=True)] == [
      "detection_scores is float64"
    ]
    del found["detection_scores"], found["detection_boxes"]
    assert [*detections._deviations(found, cut=True)] == ["no detection_boxes"]

  @pytest.mark.parametrize("left_out", ["", "detection_scores"])
  def test_the_signature_gives_every_output(self, left_out, tmp_path):
    finding = detections._detections(_detector(tmp_path, left_out=left_out))
    if left_out:
      assert finding.detail == f"the signature gives no {left_out}"
    else:
      assert finding.detail == "deviations in 4 detections of 2 images"
    assert finding.figure == bool(left_out)

  def test_a_box_with_a_mask_is_cut_unless_the_image_is_a_file(self, tmp_path):
    outside = [[[0, 0, 1.5, 1], [0] * 4, [0] * 4]]
    masks = np.zeros([1, 3, 8, 8])
    detector = _detector(tmp_path, boxes=outside, masks=masks)
    assert detections._detections(detector).detail == (
      ".: a box is not in the image"
    )

  @pytest.mark.parametrize("axes", [[1, 2, 3], [0, 1, 2, 3]])
  def test_an_image_may_not_depend_on_the_others(self, axes, tmp_path):
    finding = detections._image_by_image(_detector(tmp_path, axes=axes))
    assert (finding.figure > finding.bound) == (0 in axes)

  def test_the_same_is_found_in_any_order(self):
    """Of equal scores, those may change places."""
    found = _found(scores=[[0.4, 0.4, 0]])
    other = _found(
      scores=[[0.4, 0.4, 0]],
      boxes=[[[0, 0, 1, 1], [0.1, 0.2, 0.5, 0.6], [0, 0, 0, 0]]],
      classes=[[2, 1, 1]],
    )
    assert detections._difference(found, other) == (0.0, "")

  @pytest.mark.parametrize(
    ("change", "lost"),
    [
      ({"boxes": [[[0.1, 0.2, 0.5, 0.60005], [0, 0, 1, 1], [0] * 4]]}, 0),
      ({"boxes": [[[0.1, 0.2, 0.5, 0.6002], [0, 0, 1, 1], [0] * 4]]}, 1),
      ({"classes": [[2, 2, 1]]}, 1),
      ({"scores": [[0.9, 0.4, 0]]}, 1),
      # The last may give way to another one of the same score.
      ({"classes": [[1, 3, 1]]}, 0),
    ],
  )
  def test_what_is_lost_is_counted(self, change, lost):
    assert detections._lost(_found(**change), _found()) == lost
    if lost:
      assert detections._difference(_found(**change), _found()) == (
        lost,
        "detections that are not found alone",
      )

  def test_where_nothing_was_found_all_is_lost_but_the_last(self):
    nothing = _found(scores=[[0, 0, 0]])
    one = _found(scores=[[1, 0, 0]])
    assert detections._lost(nothing, nothing) == 0
    assert detections._lost(_found(), nothing) == 0
    assert detections._lost(nothing, one) == 0
    assert detections._lost(nothing, _found()) == 1

  def test_other_scores_are_a_difference(self):
    """Though none is lost: the last of them is another."""
    other = _found(scores=[[1, 0.2, 0]])
    error, where = detections._difference(other, _found())
    assert error == pytest.approx(0.2)
    assert where == "in detection_scores"

  def test_of_regions_what_was_proposed_before_is_compared(self):
    want = {"rois": np.float32([1]), "rpn_1": np.float32([2, 4])}
    got = {"rois": np.float32([9]), "rpn_1": np.float32([2, 3])}
    assert detections._difference(got, want) == (0.25, "in rpn_1")
    assert detections._difference(
      {"x": want["rpn_1"]}, {"x": got["rpn_1"]}
    ) == (
      pytest.approx(1 / 3),
      "in x",
    )


def _scores(size=(1, 2, 2), classes=3) -> np.ndarray:
  """Returns probabilities of which the last class's is the highest."""
  scores = np.full([*size, classes], 0.25, np.float32)
  scores[..., -1] = 0.5
  return scores


def _segmented(**changes) -> dict[str, tf.Tensor]:
  outputs = {
    "predicted_masks": np.full([1, 2, 2], 2, np.int32),
    "probabilities": _scores(),
  } | changes
  return {name: tf.constant(value) for name, value in outputs.items()}


class TestMasks:
  @pytest.mark.parametrize(
    ("outputs", "said"),
    [
      ({}, None),
      ({"predicted_masks": np.full([1, 2, 2], 2)}, "masks are int64 (1, 2, 2)"),
      ({"predicted_masks": np.full([1, 2, 1], 2, np.int32)}, "int32 (1, 2, 1)"),
      ({"probabilities": _scores().astype(float)}, "probabilities are float64"),
      ({"probabilities": _scores(classes=4)}, "are float32 (1, 2, 2, 4)"),
      ({"probabilities": _scores((1, 2, 1))}, "are float32 (1, 2, 1, 3)"),
      ({"predicted_masks": np.full([1, 2, 2], 3, np.int32)}, "not in [0, 3)"),
      ({"predicted_masks": np.full([1, 2, 2], -1, np.int32)}, "not in [0, 3)"),
      ({"predicted_masks": np.full([1, 2, 2], 1, np.int32)}, "of the highest"),
      ({"probabilities": 2 * _scores()}, None),
      ({"probabilities": 2 * _scores() + np.float32(2e-6)}, "not in [0, 1]"),
      ({"probabilities": 2 * _scores() + np.float32(5e-7)}, None),
      ({"probabilities": _scores() - np.float32(0.3)}, "not in [0, 1]"),
    ],
  )
  def test_of_images(self, outputs, said):
    found = [
      *masks._of_images(
        tf.constant([[[[0.0], [1.0]]] * 2]),
        tf.zeros([1, 1, 1, 3]),
        _segmented(**outputs),
      )
    ]
    assert len(found) == (said is not None)
    assert (said or "") in "".join(found)

  @pytest.mark.parametrize("pixel", [-0.1, 1.1])
  def test_images_are_in_0_to_1(self, pixel):
    image = tf.constant([[[[0.5], [pixel]]] * 2])
    said = [*masks._of_images(image, tf.zeros([1, 1, 1, 3]), _segmented())]
    assert said == ["images are not in [0, 1]"]

  @pytest.mark.parametrize(
    "logits", [tf.zeros([1, 1, 3]), tf.zeros([1, 1, 1, 3], tf.float64)]
  )
  def test_logits_are_float32_of_rank_4(self, logits):
    (said,) = masks._of_images(tf.zeros([1, 2, 2, 1]), logits, _segmented())
    assert said == f"logits are {logits.dtype.name} {logits.shape}"

  def test_one_of_two_that_are_as_likely_is_the_highest(self):
    scores = _scores()
    scores[..., 0] = 0.5 - 5e-7
    outputs = _segmented(
      probabilities=scores, predicted_masks=np.zeros([1, 2, 2], np.int32)
    )
    image = tf.zeros([1, 2, 2, 1])
    assert [*masks._of_images(image, tf.zeros([1, 1, 1, 3]), outputs)] == []
    scores[0, 0, 0, 0] = 0.4999
    outputs["probabilities"] = tf.constant(scores)
    (said,) = masks._of_images(image, tf.zeros([1, 1, 1, 3]), outputs)
    assert said == "predicted_masks are not of the highest probabilities"

  # Two images, of 2 by 3 and of 1 by 2 pixels; 9 is outside of both.
  _SIZES = [[2, 3], [1, 2]]

  @pytest.mark.parametrize(
    ("second", "said"),
    [
      ([[0, 2, 9], [9, 9, 9]], []),
      ([[0, 3, 9], [9, 9, 9]], ["predicted_masks are not in [0, 3)"]),
      ([[-1, 1, 9], [9, 9, 9]], ["predicted_masks are not in [0, 3)"]),
      ([[0, 1, 8], [9, 9, 9]], ["predicted_masks have [8, 9] outside of the"]),
      ([[0, 1, 9], [9, 8, 9]], ["predicted_masks have [8, 9] outside of the"]),
    ],
  )
  def test_of_files(self, second, said):
    outputs = {
      "predicted_masks": [[[0, 1, 2], [2, 1, 0]], second],
      "image_sizes": self._SIZES,
    }
    found = [*masks._of_files(outputs, 3)]
    assert len(found) == len(said)
    for text, beginning in zip(found, said, strict=True):
      assert text.startswith(beginning)

  @pytest.mark.parametrize("size", [(2, 4), (3, 3)])
  def test_of_files_masks_are_of_the_largest_size(self, size):
    outputs = {
      "predicted_masks": np.zeros([2, *size], np.int32),
      "image_sizes": self._SIZES,
    }
    (said,) = masks._of_files(outputs, 3)
    assert said == (
      f"predicted_masks are (2, {size[0]}, {size[1]}) for images of "
      "[[2, 3], [1, 2]]"
    )


class TestScores:
  @pytest.mark.parametrize(
    ("pixels", "outputs", "said"),
    [
      (tf.constant([[0.0], [1.0]]), tf.zeros([2, 5]), None),
      (tf.constant([[0.0], [1.1]]), tf.zeros([2, 5]), "not float32 in [0, 1]"),
      (tf.constant([[0.0], [-0.1]]), tf.zeros([2, 5]), "not float32 in [0, 1]"),
      (tf.zeros([2, 1], tf.float64), tf.zeros([2, 5]), "not float32 in [0, 1]"),
      (tf.zeros([2, 1]), tf.zeros([2, 5, 1]), "are float32 (2, 5, 1)"),
      (tf.zeros([2, 1]), tf.zeros([2, 5], tf.float64), "are float64 (2, 5)"),
      (tf.zeros([2, 1]), tf.zeros([3, 5]), "3 outputs for 2 images"),
    ],
  )
  def test_what_is_wrong_is_said(self, pixels, outputs, said):
    found = [*images.deviations(pixels, outputs)]
    assert len(found) == (said is not None)
    assert (said or "") in "".join(found)

  def test_it_is_called_what_it_is(self):
    found = images.deviations(
      tf.constant([[2.0]]), tf.zeros([2]), of="videos", called="logits"
    )
    assert [*found] == [
      "videos are not float32 in [0, 1]",
      "logits are float32 (2,)",
      "2 logits for 1 videos",
    ]


class TestAverages:
  def test_one_that_is_no_number_is_not_forgotten(self, monkeypatch):
    """The first of two averages; the second is as it should be."""
    one, nan = np.ones(1), np.full(1, _NAN)
    candidate = types.SimpleNamespace(
      find=lambda name: None, updates=lambda name: [1, 1]
    )
    monkeypatch.setattr(images, "_statistics", lambda loaded: [one, one])
    monkeypatch.setattr(images, "_moved", lambda *_, **__: [nan, one])
    error, place = images._momentum_error(candidate, "", "momentum", 0.9)
    assert error == float("inf")
    assert place == "with momentum=0.9"

  def test_a_polynomial_goes_through_its_points(self):
    """By hand: x squared, and 2 - x."""
    squares = {x: np.array([x * x, 2 - x]) for x in (0.0, 0.5, 1.0)}
    for at in (0.0, 0.25, 0.75, 1.0):
      value = images._interpolated(squares, at)
      closeness.assert_close(value, [at * at, 2 - at])

  @pytest.mark.parametrize(
    ("dtype", "bits"), [(tf.float32, 24), (tf.float16, 11), (tf.bfloat16, 8)]
  )
  def test_the_largest_number_below_one(self, dtype, bits):
    proto = images._largest_below_one(dtype.as_datatype_enum)
    value = tf.make_ndarray(proto)
    assert value.dtype == dtype.as_numpy_dtype
    assert float(value) == 1 - 2.0**-bits
