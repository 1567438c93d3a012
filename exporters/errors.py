"""The one error that an exporter shows to a person."""


class ExportError(Exception):
  """Something that the caller can mend: what is wrong, where, how to go on.

  The command line prints the message as it stands, without a traceback, and
  exits with code 1. Anything else that is raised is a defect of this code.
  """
