"""Modules that take precedence over those of the wheel's package."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
