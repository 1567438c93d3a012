"""The flags that name an experiment of `official.vision`."""

import dataclasses
from typing import Any

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import explained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
  """What the flags say; read it once they are parsed."""

  experiment: flags.FlagHolder
  config_file: flags.FlagHolder
  params_override: flags.FlagHolder

  @property
  def name(self) -> str | None:
    """The name that the experiment is registered by."""
    return self.experiment.value

  def read(self) -> Any:
    """Returns its configuration, as the other flags override it.

    Raises:
      ExportError: There is no such experiment, or no such field in it.
    """
    with explained("read the experiment that the flags describe"):
      return self._read()

  def _read(self) -> Any:
    from official.core import exp_factory
    from official.modeling import hyperparams
    from official.vision import registry_imports  # noqa: F401 - its effect.

    params = exp_factory.get_exp_config(self.name)
    overrides = [*(self.config_file.value or []), self.params_override.value]
    for override in filter(None, overrides):
      try:
        params = hyperparams.override_params_dict(
          params, override, is_strict=True
        )
      except KeyError as e:
        # Model Garden's command goes on and takes a misspelt key for a new one.
        raise ExportError(
          f"'{override}' sets a field that the experiment '{self.name}' does "
          f"not have: {e.args[0]}"
        ) from e
    params.validate()
    params.lock()
    return params


def define() -> Experiment:
  """Defines --experiment, --config_file and --params_override."""
  return Experiment(
    experiment=flags.DEFINE_string(
      "experiment", None, "The experiment, such as 'resnet_imagenet'."
    ),
    config_file=flags.DEFINE_multi(
      program.PathParser(),
      flags.ArgumentSerializer(),
      "config_file",
      None,
      "YAML or JSON files that override the experiment's.",
    ),
    params_override=flags.DEFINE_string(
      "params_override", "", "YAML or JSON that overrides those files."
    ),
  )
