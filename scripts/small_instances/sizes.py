"""Lines of gin that make image classifiers small."""

MODEL = "image_classification.ImageClassificationModel"
IMAGES = (f"{MODEL}.num_classes = 7", f"{MODEL}.input_size = [32, 32, 3]")
# These make `images.resnet()` of configs/resnet/resnet_50.gin.
RESNET = (
  *IMAGES,
  "backbones.ResNet.model_id = 10",
  "backbones.ResNet.depth_multiplier = 0.125",
)
