"""Prints how long each check of an export takes, in seconds."""

import json
import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# These read the environment as they are imported.
from exporters import recipe
from exporters.life_cycle import exporting

export_path, gin_file, *bindings = sys.argv[1:]
done = exporting.export(
  recipe.load([gin_file], bindings).exporter,
  export_path=export_path,
  overwrite=True,
)
costs: dict[str, float] = {}
for artifact in done.artifacts:
  for result in artifact.results:
    costs[result.check] = costs.get(result.check, 0.0) + result.seconds
print(json.dumps(costs))
