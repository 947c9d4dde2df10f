"""Amazon S3, as much of it as results and tests need: buckets, and objects that are put, read by range and deleted.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html and its neighbours;
errors: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import secrets
import shutil
import threading
import time
import zlib
from email.utils import formatdate
from typing import Any, Callable, Dict, Iterable, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from .errors import AwsError
from .settings import Settings
from .wire import FileSlice, Request, Response

MAX_KEY_BYTES = 1024
DEFAULT_CONTENT_TYPE = "binary/octet-stream"

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_CHECKSUMS: Dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


class StoredObject(NamedTuple):
    """One object. checksums: x-amz-checksum-… headers that were verified when it was put, by lower-case name."""

    path: str
    size: int
    etag: str
    last_modified: float
    content_type: str
    metadata: Dict[str, str]
    checksums: Dict[str, str]


class ObjectStore:
    """Buckets and objects. Safe to use from any thread.

    Contents lie in files named by a hash of bucket and key, so that no key can name a file elsewhere. A file is never
    changed once it is there: who reads an object while it is replaced reads the old one to its end.
    """

    def __init__(self, directory: str):
        """directory: an existing one, for the files."""
        self._directory = directory
        self._lock = threading.Lock()
        self._buckets: Dict[str, Dict[str, StoredObject]] = {}
        self._versions = itertools.count(1)

    def create_bucket(self, bucket: str) -> None:
        """Makes a bucket; one that exists stays. Raises ValueError for a name that S3 would not take."""
        if not _BUCKET_NAME.match(bucket):
            raise ValueError("not a bucket name: %r" % bucket)
        with self._lock:
            self._buckets.setdefault(bucket, {})

    def has_bucket(self, bucket: str) -> bool:
        """Whether there is a bucket of that name."""
        with self._lock:
            return bucket in self._buckets

    def put(self, bucket: str, key: str, content: bytes, content_type: str = DEFAULT_CONTENT_TYPE,
            metadata: Optional[Dict[str, str]] = None, checksums: Optional[Dict[str, str]] = None) -> StoredObject:
        """Stores an object. Raises AwsError NoSuchBucket."""
        path = self._new_path(bucket, key)
        with open(path, "wb") as file:
            file.write(content)
        return self._add(bucket, key, StoredObject(path, len(content), hashlib.md5(content).hexdigest(), time.time(),
                                                   content_type, metadata or {}, checksums or {}))

    def put_file(self, bucket: str, key: str, source: str, content_type: str) -> StoredObject:
        """Stores a copy of a file. Raises AwsError NoSuchBucket and OSError."""
        path = self._new_path(bucket, key)
        shutil.copyfile(source, path)
        digest = hashlib.md5()
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(1024 * 1024), b""):
                digest.update(piece)
            size = file.tell()
        return self._add(bucket, key, StoredObject(path, size, digest.hexdigest(), time.time(), content_type, {}, {}))

    def find(self, bucket: str, key: str) -> StoredObject:
        """Raises AwsError NoSuchBucket or NoSuchKey."""
        with self._lock:
            found = self._objects(bucket).get(key)
        if found is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key})
        return found

    def delete(self, bucket: str, key: str) -> None:
        """Removes an object; one that is not there is no error. Raises AwsError NoSuchBucket."""
        with self._lock:
            removed = self._objects(bucket).pop(key, None)
        if removed is not None:
            os.unlink(removed.path)

    def clear(self, buckets: Iterable[str]) -> None:
        """Forgets all objects and all buckets but the ones named."""
        with self._lock:
            removed = [stored for objects in self._buckets.values() for stored in objects.values()]
            self._buckets = {bucket: {} for bucket in buckets}
        for stored in removed:
            os.unlink(stored.path)

    def _objects(self, bucket: str) -> Dict[str, StoredObject]:
        objects = self._buckets.get(bucket)
        if objects is None:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404, {"BucketName": bucket})
        return objects

    def _new_path(self, bucket: str, key: str) -> str:
        name = hashlib.sha256(("%s\0%s" % (bucket, key)).encode("utf-8", "surrogateescape")).hexdigest()
        with self._lock:
            self._objects(bucket)
            return os.path.join(self._directory, "%s.%d" % (name, next(self._versions)))

    def _add(self, bucket: str, key: str, stored: StoredObject) -> StoredObject:
        with self._lock:
            replaced = self._objects(bucket).get(key)
            self._objects(bucket)[key] = stored
        if replaced is not None:
            os.unlink(replaced.path)
        return stored


def bucket_of_host(host: str) -> Optional[str]:
    """The bucket that a Host header names, in the virtual-hosted style, or None.

    The labels before the last label that is ``s3`` are the bucket's name: bucket.s3.localhost:9000,
    my.bucket.s3.us-east-1.amazonaws.com. Every other host means path style.
    """
    labels = host.rsplit(":", 1)[0].lower().split(".") if not host.endswith("]") else []
    for index in range(len(labels) - 1, 0, -1):
        if labels[index] == "s3":
            return ".".join(labels[:index])
    return None


def address(request: Request) -> Tuple[str, str]:
    """Bucket and key that a request is about, the key still percent-encoded; either is '' where there is none."""
    bucket = bucket_of_host(request.fields.get("host", ""))
    if bucket is not None:
        return bucket, request.path[1:]
    bucket, _, key = request.path[1:].partition("/")
    return bucket, key


def operation_name(request: Request) -> str:
    """The name of the operation as rules for faults and the log have it: ``S3.`` and S3's own name."""
    bucket, key = address(request)
    names = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"} if key else {
        "GET": "ListObjectsV2" if bucket else "ListBuckets", "HEAD": "HeadBucket", "PUT": "CreateBucket",
        "DELETE": "DeleteBucket"}
    return "S3." + names.get(request.method, request.method)


class S3Service:
    """Answers requests for objects, from the store."""

    def __init__(self, store: ObjectStore, settings: Settings):
        self._store = store
        self._settings = settings
        self._operations: Dict[str, Callable[[Request, str, str], Response]] = {
            "S3.GetObject": self._get_object,
            "S3.HeadObject": self._get_object,
            "S3.PutObject": self._put_object,
            "S3.DeleteObject": self._delete_object,
            "S3.CreateBucket": self._create_bucket,
            "S3.HeadBucket": self._head_bucket,
        }

    def handle(self, operation: str, request: Request) -> Response:
        """Carries out a request that is authorized. Raises AwsError."""
        handler = self._operations.get(operation)
        if handler is None:
            raise AwsError("NotImplemented", "The emulator does not implement %s." % operation, 501)
        bucket, encoded_key = address(request)
        try:
            key = unquote_to_bytes(encoded_key.encode("utf-8", "surrogateescape")).decode("utf-8")
        except UnicodeDecodeError:
            raise AwsError("InvalidURI", "Couldn't parse the specified URI.", 400) from None
        if len(key.encode()) > MAX_KEY_BYTES:
            raise AwsError("KeyTooLongError", "Your key is too long", 400)
        return handler(request, bucket, key)

    def refuse(self, error: AwsError, request: Request) -> Response:
        """S3's answer to a request that an error ended."""
        members: Dict[str, Any] = {"Code": error.code, "Message": error.message, **error.members}
        headers = self.default_headers()
        members["RequestId"], members["HostId"] = headers["x-amz-request-id"], headers["x-amz-id-2"]
        body = '<?xml version="1.0" encoding="UTF-8"?>\n<Error>%s</Error>' % "".join(
            "<%s>%s</%s>" % (name, escape(str(value)), name) for name, value in members.items())
        headers["Content-Type"] = "application/xml"
        if error.code == "AuthorizationHeaderMalformed":
            headers["x-amz-bucket-region"] = error.members.get("Region")
        data = body.encode("utf-8", "backslashreplace")
        # An answer to HEAD has no body, not even for an error.
        return Response(error.status, headers, b"" if request.method == "HEAD" else data, len(data))

    def default_headers(self) -> Dict[str, Optional[str]]:
        """The headers of every answer."""
        return {
            "x-amz-id-2": base64.b64encode(secrets.token_bytes(48)).decode(),
            "x-amz-request-id": secrets.token_hex(8).upper(),
            "Date": formatdate(self._settings.now(), usegmt=True),
            "Server": "AmazonS3",
        }

    def _get_object(self, request: Request, bucket: str, key: str) -> Response:
        stored = self._store.find(bucket, key)
        self._check_conditions(request, stored)
        headers = self.default_headers()
        headers["Last-Modified"] = formatdate(stored.last_modified, usegmt=True)
        headers["ETag"] = '"%s"' % stored.etag
        headers["Accept-Ranges"] = "bytes"
        headers["Content-Type"] = stored.content_type
        headers.update(stored.metadata)
        span = byte_range(request.fields.get("range"), stored.size)
        status, first, length = 200, 0, stored.size
        if span is not None:
            status, first, length = 206, span[0], span[1] - span[0] + 1
            headers["Content-Range"] = "bytes %d-%d/%d" % (span[0], span[1], stored.size)
        elif request.fields.get("x-amz-checksum-mode", "").upper() == "ENABLED" and stored.checksums:
            headers.update(stored.checksums)
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
        body: Union[bytes, FileSlice] = b""
        if request.method != "HEAD":
            try:
                body = FileSlice(open(stored.path, "rb"), first, length)
            except FileNotFoundError:
                # Replaced or deleted between the look-up and here.
                return self._get_object(request, bucket, key)
        return Response(status, headers, body, length)

    @staticmethod
    def _check_conditions(request: Request, stored: StoredObject) -> None:
        if_match = request.fields.get("if-match")
        if if_match is not None and if_match != "*" and if_match.strip('"') != stored.etag:
            raise AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412,
                           {"Condition": "If-Match"})

    def _put_object(self, request: Request, bucket: str, key: str) -> Response:
        if request.fields.get("if-none-match") == "*":
            try:
                self._store.find(bucket, key)
            except AwsError as error:
                if error.code != "NoSuchKey":
                    raise
            else:
                raise AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412,
                               {"Condition": "If-None-Match"})
        content, fields = request.body, dict(request.fields)
        if fields.get("x-amz-content-sha256", "").startswith("STREAMING-"):
            content, trailers = _without_aws_chunks(content)
            fields.update(trailers)
        checksums = _verified_checksums(content, fields)
        metadata = {name: value for name, value in fields.items() if name.startswith("x-amz-meta-")}
        stored = self._store.put(bucket, key, content, fields.get("content-type", DEFAULT_CONTENT_TYPE), metadata, checksums)
        headers = self.default_headers()
        headers["ETag"] = '"%s"' % stored.etag
        headers.update(checksums)
        return Response(200, headers)

    def _delete_object(self, request: Request, bucket: str, key: str) -> Response:
        self._store.delete(bucket, key)
        return Response(204, self.default_headers())

    def _create_bucket(self, request: Request, bucket: str, key: str) -> Response:
        try:
            self._store.create_bucket(bucket)
        except ValueError:
            raise AwsError("InvalidBucketName", "The specified bucket is not valid.", 400, {"BucketName": bucket}) from None
        headers = self.default_headers()
        headers["Location"] = "/" + bucket
        return Response(200, headers)

    def _head_bucket(self, request: Request, bucket: str, key: str) -> Response:
        if not self._store.has_bucket(bucket):
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404, {"BucketName": bucket})
        return Response(200, self.default_headers())


def byte_range(header: Optional[str], size: int) -> Optional[Tuple[int, int]]:
    """The first and the last byte that a Range header asks for, or None for the whole object.

    A header that is not one plain range of bytes is ignored, as RFC 9110, 14.2 allows and S3 does. Raises AwsError
    InvalidRange when the range holds no byte of the object.
    """
    match = _RANGE.match(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first_text, last_text = match.groups()
    if first_text == "":
        first, last = max(0, size - int(last_text)), size - 1
    else:
        first, last = int(first_text), min(int(last_text), size - 1) if last_text else size - 1
        if last_text and int(last_text) < first:
            return None
    if first >= size:
        raise AwsError("InvalidRange", "The requested range is not satisfiable", 416,
                       {"RangeRequested": header or "", "ActualObjectSize": str(size)})
    return first, last


def _without_aws_chunks(body: bytes) -> Tuple[bytes, Dict[str, str]]:
    """Content and trailers of a body in the aws-chunked coding, which SDKs use to send a checksum after the content.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
    """
    content = bytearray()
    position = 0
    try:
        while True:
            end = body.index(b"\r\n", position)
            size = int(body[position:end].split(b";")[0], 16)
            position = end + 2
            if size == 0:
                break
            if body[position + size:position + size + 2] != b"\r\n":
                raise ValueError("a chunk is longer or shorter than it says")
            content += body[position:position + size]
            position += size + 2
        trailers = {}
        for line in body[position:].decode("ascii").split("\r\n"):
            if line:
                name, _, value = line.partition(":")
                trailers[name.strip().lower()] = value.strip()
    except ValueError:
        raise AwsError("IncompleteBody", "The request body is not in the aws-chunked coding that it announces.", 400) from None
    return bytes(content), trailers


def _verified_checksums(content: bytes, fields: Dict[str, str]) -> Dict[str, str]:
    """The x-amz-checksum-… members that the emulator can compute. Raises AwsError BadDigest when one does not match."""
    verified = {}
    for algorithm, compute in _CHECKSUMS.items():
        name = "x-amz-checksum-" + algorithm
        if name in fields:
            if base64.b64encode(compute(content)).decode() != fields[name]:
                raise AwsError("BadDigest", "The %s you specified did not match the calculated checksum." % algorithm.upper(),
                               400)
            verified[name] = fields[name]
    return verified
