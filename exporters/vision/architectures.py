"""Which exporter publishes a classifier of `official.vision`."""

from collections.abc import Mapping

# The exporter for each type of backbone: its module, and its class.
EXPORTERS: Mapping[str, tuple[str, str]] = {
  "resnet": ("exporters.resnet", "ResNetExporter"),
  "efficientnet": ("exporters.efficientnet", "EfficientNetExporter"),
  "mobilenet": ("exporters.mobilenet", "MobileNetExporter"),
  "vit": ("exporters.vit", "ViTExporter"),
  "maxvit": ("exporters.maxvit", "MaxViTExporter"),
  "mobiledet": ("exporters.mobiledet", "MobileDetExporter"),
  "revnet": ("exporters.revnet", "RevNetExporter"),
  "spinenet": ("exporters.spinenet", "SpineNetExporter"),
  "spinenet_mobile": ("exporters.spinenet", "SpineNetMobileExporter"),
}
