"""Prints the results as tables in Markdown, and plots growth."""

from collections.abc import Iterator, Mapping, Sequence

from scripts.benchmark import models
from scripts.benchmark.contest import Run

# What was measured, our value, the other's, and their ratio.
Row = tuple[str, str, str, float]


def ratio(figure: str, unit: str, ours: float, other: float) -> Row:
  """Returns a row of two values and their ratio."""
  return figure, f"{ours:.2f} {unit}", f"{other:.2f} {unit}", ours / other


def show(title: str, rows: Sequence[Row], other: str = models.GARDEN) -> None:
  """Prints a table of rows."""
  print(f"\n| {title} | this repository | {other} | ratio |")
  print("|---|---|---|---|")
  for figure, ours, theirs, value in rows:
    print(f"| {figure} | {ours} | {theirs} | {value:.2f} |")


def exports(runs: Mapping[str, Run]) -> Iterator[Row]:
  """Yields the rows on exports, compared with the Garden's."""
  garden, none = runs[models.GARDEN], runs[models.NONE]
  yield ratio("export without checks", "s", none.seconds, garden.seconds)
  for level in (models.BASIC, models.ALL):
    if level in runs:
      added = runs[level].seconds - none.seconds
      figure = f"added by {level} checks"
      yield ratio(figure, "s", added, garden.seconds)
  peaks = (run.peak / 2**30 for run in (none, garden))
  yield ratio("peak memory of the export", "GiB", *peaks)


def show_calls(calls: Mapping[str, Mapping[str, float]]) -> None:
  """Prints how long calls take, beside the Garden's and the reference's."""
  print(
    "\n| call | seconds | ratio to the Garden's | ratio to the reference's |"
  )
  print("|---|---|---|---|")
  for figure, times in calls.items():
    shown = " | ".join(
      f"{times['ours'] / times[other]:.2f}" if other in times else ""
      for other in ("garden", "reference")
    )
    print(f"| {figure} | {times['ours']:.3f} | {shown} |")


def show_costs(costs: Mapping[str, float], garden: float) -> None:
  """Prints how long each check takes, beside the Garden's whole export."""
  print("\n| check | seconds | ratio to the Garden's export |")
  print("|---|---|---|")
  for name, seconds in sorted(costs.items(), key=lambda item: -item[1]):
    if seconds >= 0.1:
      print(f"| {name} | {seconds:.1f} | {seconds / garden:.2f} |")


def show_growth(
  points: Sequence[Mapping[str, float]], path: str | None
) -> None:
  """Prints, and plots to `path`, what exports take as weights grow."""
  print("\n| layers | weights | seconds | the Garden's | peak | the Garden's |")
  print("|---|---|---|---|---|---|")
  names = models.NONE, models.GARDEN
  for point in points:
    seconds = " | ".join(f"{point[f'{name} s']:.1f}" for name in names)
    peaks = " | ".join(f"{point[f'{name} GB']:.2f} GB" for name in names)
    print(
      f"| {point['layers']} | {point['weights']:.0f} MB | {seconds} | {peaks} |"
    )
  if path:
    _draw(points, path)


def plot_garden(
  measured: Mapping[str, Mapping[int, float]],
  simulated: Mapping[str, Mapping[int, float]],
  by_workers: Mapping[str, Mapping[int, float]],
  count: int,
  path: str,
) -> None:
  """Plots how many models an hour a garden releases.

  Args:
    measured: Seconds of a whole garden, by level of checks and cores.
    simulated: The same, by the times of single models on one core.
    by_workers: The same, by workers of one core each.
    count: How many models there are.
    path: The SVG file.
  """
  pyplot = _pyplot("garden")
  figure, (left, right) = pyplot.subplots(
    1, 2, figsize=(8, 3), layout="constrained", sharey=True
  )
  for level, seconds in measured.items():
    rates = [3600 * count / s for s in seconds.values()]
    (line,) = left.plot([*seconds], rates, marker="o", label=f"checks: {level}")
    for ax, dotted in ((left, simulated), (right, by_workers)):
      dots = dotted.get(level, {})
      rates = [3600 * count / s for s in dots.values()]
      ax.plot([*dots], rates, linestyle=":", color=line.get_color())
  left.set(
    xlabel="cores (dots: measured; dotted: simulated)",
    title=f"models an hour, a garden of {count}",
    xlim=(0, None),
    xticks=[1, 2, 4, 8, 16],
    ylim=(0, None),
  )
  right.set(
    xlabel="workers of one core (simulated)",
    title="the same on a cluster",
    xlim=(0, None),
    xticks=[1, 2, 4, 8, 16],
  )
  left.legend(frameon=False)
  figure.savefig(path, metadata={"Date": None})


def _pyplot(salt: str):
  import matplotlib

  matplotlib.use("svg")
  # The same bytes for the same figures, and text as text.
  matplotlib.rcParams |= {"svg.hashsalt": salt, "svg.fonttype": "none"}
  from matplotlib import pyplot

  return pyplot


def _draw(points: Sequence[Mapping[str, float]], path: str) -> None:
  pyplot = _pyplot("growth")
  figure, axes = pyplot.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
  weights = [point["weights"] for point in points]
  for ax, unit, title in zip(
    axes, ("s", "GB"), ("seconds", "peak memory, GB"), strict=True
  ):
    for name, label in (
      (models.GARDEN, models.GARDEN),
      (models.NONE, "this repository"),
    ):
      values = [point[f"{name} {unit}"] for point in points]
      ax.plot(weights, values, marker="o", label=label)
    ax.set(xlabel="weights, MB", title=title, xlim=(0, None), ylim=(0, None))
  axes[0].legend(frameon=False)
  figure.savefig(path, metadata={"Date": None})
