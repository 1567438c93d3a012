"""Modules that come before Model Garden's of the same package."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
