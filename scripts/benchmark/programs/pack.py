"""Packs a SavedModel."""

import sys

from exporters.release import archive

archive.pack(*sys.argv[1:])
