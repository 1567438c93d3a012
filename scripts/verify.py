r"""Verifies an archive from someone else before anything in it is loaded.

  python -m scripts.verify 1.tar.gz
  python -m scripts.verify 1.tar.gz --provenance=1.provenance.json \
    --public_key=publisher.pub

It takes a `.tar.gz` or a `.tar`, packed by `scripts.release` or by the command
in TF Hub's documentation. First it inspects the members, their sizes and the
operations of the graph; given a provenance, it compares the digests; given a
key, it verifies the signatures beside the files. Only an archive that passes is
loaded, in a fresh process that tries what a consumer would. The exit code is 0
if all is well.
"""

from absl import flags

from exporters.command_line import program

_PROVENANCE = flags.DEFINE(
  program.PathParser(),
  "provenance",
  None,
  "The provenance that came with the archive.",
)
_PUBLIC_KEY = flags.DEFINE(
  program.PathParser(), "public_key", None, "The publisher's public key (PEM)."
)
_CHECKS = program.define_checks()


def main(archive: str) -> None:
  """Verifies one archive."""
  program.prepare_tensorflow()
  from exporters.release import verify

  done = verify.verify(
    archive,
    provenance=_PROVENANCE.value,
    public_key=_PUBLIC_KEY.value,
    level=_CHECKS.value,
  )
  print(f"sha256  {done.digest}")
  for step in done.steps:
    print(f"ok      {step}")
  for result in done.results:
    print(f"        {result}")
  print(f"'{archive}' is in order.")


if __name__ == "__main__":
  program.run(main, modules=[], arguments=["ARCHIVE"])
