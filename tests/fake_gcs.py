"""Stands in for Google Cloud Storage, for TensorFlow in any process.

TensorFlow's file system for gs:// cannot be told of another server. But it goes
through the proxy that the environment names, and believes the certificates that
the environment names. So this is a proxy that answers in place of Google, from
a folder in memory.
"""

from collections.abc import Iterator, Mapping
import contextlib
from http import server
import json
import pathlib
import re
import ssl
import subprocess
import threading
from urllib import parse

_HOSTS = ("www.googleapis.com", "storage.googleapis.com")


class Bucket:
  """What is stored, whatever the bucket is called.

  Attributes:
    objects: Contents, with a number that each writing changes, by name.
    environment: What a process needs in its environment.
    lock: Is held while a request is answered.
  """

  def __init__(self) -> None:
    self.objects: dict[str, tuple[bytes, int]] = {}
    self.environment: Mapping[str, str] = {}
    self.lock = threading.Lock()
    self._writings = 0

  def write(self, name: str, content: bytes) -> None:
    """Stores an object."""
    self._writings += 1
    self.objects[name] = content, self._writings

  def described(self, name: str) -> dict[str, str]:
    """Returns what is said of an object."""
    content, generation = self.objects[name]
    return {
      "name": name,
      "size": str(len(content)),
      "generation": str(generation),
      "updated": "2026-01-01T00:00:00.000Z",
    }


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[Bucket]:
  """Yields a bucket while it is served.

  Args:
    folder: For the certificate.
  """
  bucket = Bucket()
  certificate = _write_certificate(folder)
  context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
  context.load_cert_chain(certificate)

  class Proxy(server.BaseHTTPRequestHandler):
    """Answers what it should pass on."""

    def do_CONNECT(self):
      self.send_response_only(200)
      self.end_headers()
      with contextlib.suppress(OSError):  # Of a client that is killed.
        secured = context.wrap_socket(self.connection, server_side=True)
        _Answers(secured, self.client_address, bucket)
      self.close_connection = True

    def log_message(self, *unused):
      pass

  with server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as running:
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    bucket.environment = {
      "HTTPS_PROXY": f"http://127.0.0.1:{running.server_port}",
      "NO_PROXY": "127.0.0.1",
      "CURL_CA_BUNDLE": str(certificate),
      "NO_GCE_CHECK": "1",
      "GOOGLE_AUTH_TOKEN_FOR_TESTING": "any",
    }
    try:
      yield bucket
    finally:
      running.shutdown()


class _Answers(server.BaseHTTPRequestHandler):
  """Answers as https://cloud.google.com/storage/docs/json_api says."""

  protocol_version = "HTTP/1.1"

  def log_message(self, *unused):
    pass

  def _answer(self):
    content = self._content()
    address = parse.urlsplit(self.path)
    query = dict(parse.parse_qsl(address.query))
    with self.server.lock:
      code, body, headers = self._answered(address.path, query, content)
    if not isinstance(body, bytes):
      body = json.dumps(body).encode()
    self.send_response_only(code)
    for key, value in headers.items():
      self.send_header(key, value)
    self.send_header("Content-Length", str(len(body)))
    self.end_headers()
    self.wfile.write(body)

  # The names that are looked for, by the methods of HTTP.
  do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

  def _content(self):
    """Reads what is sent; TensorFlow sends files in chunks, and a length."""
    if self.headers.get("Transfer-Encoding") != "chunked":
      return self.rfile.read(int(self.headers.get("Content-Length") or 0))
    content = b""
    while size := int(self.rfile.readline(), 16):
      content += self.rfile.read(size)
      self.rfile.readline()
    self.rfile.readline()
    return content

  def _answered(self, path, query, content):
    bucket = self.server
    if path.startswith("/upload/"):
      return self._uploaded(path, query, content)
    if re.fullmatch(r"/storage/v1/b/[^/]+", path):
      return 200, {}, {}
    listing = re.fullmatch(r"/storage/v1/b/[^/]+/o", path)
    if listing:
      return 200, _listed(bucket, **query), {}
    one = re.fullmatch(r"/storage/v1/b/[^/]+/o/(.+)", path)
    name = parse.unquote(one[1] if one else path.split("/", 2)[2])
    if name not in bucket.objects:
      return 404, {}, {}
    if self.command == "DELETE":
      del bucket.objects[name]
      return 204, b"", {}
    if one:
      return 200, bucket.described(name), {}
    content, _ = bucket.objects[name]
    wanted = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
    if not wanted:
      return 200, content, {}
    begin, end = int(wanted[1]), int(wanted[2])
    if begin >= len(content):
      return 416, b"", {}
    return 206, content[begin : end + 1], {}

  def _uploaded(self, path, query, content):
    """Stores what is uploaded at once, or in a session that has its name."""
    bucket = self.server
    name = query["name"]
    if query["uploadType"] == "media":
      if query.get("ifGenerationMatch") == "0" and name in bucket.objects:
        return 412, {}, {}
    elif self.command == "POST":
      host = self.headers["Host"]
      session = parse.urlencode({"name": name, "uploadType": "resumable"})
      return 200, {}, {"Location": f"https://{host}/upload/?{session}"}
    elif "*" in self.headers.get("Content-Range", ""):
      return 503, b"", {}  # Whether it has arrived; it always does at once.
    bucket.write(name, content)
    return 200, bucket.described(name), {}


def _listed(bucket, **query):
  prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
  items, prefixes = [], set()
  for name in sorted(bucket.objects):
    if not name.startswith(prefix):
      continue
    first, found, _ = (
      name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
    )
    if found:
      prefixes.add(prefix + first + found)
    else:
      items.append(bucket.described(name))
  items = items[: int(query.get("maxResults", len(items)))]
  return {"items": items, "prefixes": sorted(prefixes)}


def _write_certificate(folder: pathlib.Path) -> pathlib.Path:
  """Writes a certificate of Google's hosts, and its key, to one file."""
  key, certificate = folder / "key.pem", folder / "certificate.pem"
  names = ",".join(f"DNS:{host}" for host in _HOSTS)
  subprocess.run(
    [
      *("openssl", "req", "-x509", "-nodes", "-newkey", "ec"),
      *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "1"),
      *("-subj", f"/CN={_HOSTS[0]}", "-addext", f"subjectAltName={names}"),
      *("-keyout", key, "-out", certificate),
    ],
    check=True,
    capture_output=True,
  )
  with certificate.open("a") as f:
    f.write(key.read_text())
  return certificate
