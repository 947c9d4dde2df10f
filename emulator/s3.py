"""Amazon S3's operations over HTTP and XML, on the objects of objects.py.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
errors: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import base64
import binascii
import calendar
import re
import secrets
import threading
import time
from email.utils import formatdate, parsedate
from typing import Any, Callable, Dict, List, Optional, Tuple, Union
from urllib.parse import quote_plus, unquote_to_bytes
from xml.etree import ElementTree

from . import checksums, markup, objects
from .errors import AwsError
from .objects import Condition, Description, ObjectStore, Part, StoredObject, Upload
from .settings import ACCOUNT_ID, Settings
from .wire import FileSlice, Request, Response

MAX_KEY_BYTES = 1024
MAX_LISTED = 1000
MAX_DELETED = 1000
MAX_PARTS = 10000
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# Where buckets may be made for every region, and whose buckets have no LocationConstraint.
FIRST_REGION = "us-east-1"

_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")

# The headers of an upload that its downloads give back.
_KEPT_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
_RESPONSE_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type",
                     "expires")

# What a request is: (method, what it addresses, the query parameter or header that tells it from others).
_OPERATIONS: Dict[Tuple[str, str, str], str] = {
    ("GET", "service", ""): "ListBuckets",
    ("GET", "bucket", ""): "ListObjects",
    ("GET", "bucket", "list-type"): "ListObjectsV2",
    ("GET", "bucket", "location"): "GetBucketLocation",
    ("GET", "bucket", "uploads"): "ListMultipartUploads",
    ("HEAD", "bucket", ""): "HeadBucket",
    ("PUT", "bucket", ""): "CreateBucket",
    ("DELETE", "bucket", ""): "DeleteBucket",
    ("POST", "bucket", "delete"): "DeleteObjects",
    ("GET", "object", ""): "GetObject",
    ("HEAD", "object", ""): "HeadObject",
    ("PUT", "object", ""): "PutObject",
    ("PUT", "object", "x-amz-copy-source"): "CopyObject",
    ("DELETE", "object", ""): "DeleteObject",
    ("POST", "object", "uploads"): "CreateMultipartUpload",
    ("PUT", "object", "uploadId"): "UploadPart",
    ("POST", "object", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "object", "uploadId"): "AbortMultipartUpload",
    ("GET", "object", "uploadId"): "ListParts",
}

# Parameters that make a request one of those above, or one that the emulator does not know.
_SUBRESOURCES = (
    "list-type", "location", "uploads", "delete", "uploadId", "accelerate", "acl", "analytics", "attributes", "cors",
    "encryption", "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "logging", "metrics", "notification",
    "object-lock", "ownershipControls", "partNumber", "policy", "policyStatus", "publicAccessBlock", "replication",
    "requestPayment", "restore", "retention", "select", "tagging", "torrent", "versionId", "versioning", "versions",
    "website")

Pairs = List[Tuple[str, Any]]


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


def parameters(request: Request) -> Dict[str, str]:
    """The query's parameters, decoded; '+' is a plus sign. Raises AwsError InvalidURI."""
    found = {}
    for item in request.query.split("&"):
        name, _, value = item.partition("=")
        if name:
            found[_decoded(name)] = _decoded(value)
    return found


def operation_name(request: Request) -> str:
    """The name of the operation as rules for faults and the log have it: ``S3.`` and S3's own name."""
    bucket, key = address(request)
    kind = "object" if key else "bucket" if bucket else "service"
    names = [item.partition("=")[0] for item in request.query.split("&")]
    sub = next((name for name in _SUBRESOURCES if name in names), "")
    if "x-amz-copy-source" in request.fields:
        sub = "x-amz-copy-source" if not sub else "x-amz-copy-source&" + sub
    return "S3." + _OPERATIONS.get((request.method, kind, sub), request.method + ("?" + sub if sub else ""))


class S3Service:
    """Answers requests for objects, from the store.

    region: the one that requests are for unless their bucket is in another.
    """

    def __init__(self, store: ObjectStore, settings: Settings, region: str):
        self._store = store
        self._settings = settings
        self._region = region
        # One completion at a time: none finds the parts that it has looked at gone.
        self._completing = threading.Lock()
        self._operations: Dict[str, Callable[[Request, str, str], Response]] = {
            "S3.ListBuckets": self._list_buckets,
            "S3.CreateBucket": self._create_bucket,
            "S3.HeadBucket": self._head_bucket,
            "S3.DeleteBucket": self._delete_bucket,
            "S3.GetBucketLocation": self._get_bucket_location,
            "S3.ListObjectsV2": self._list_objects,
            "S3.ListMultipartUploads": self._list_uploads,
            "S3.GetObject": self._get_object,
            "S3.HeadObject": self._get_object,
            "S3.PutObject": self._put_object,
            "S3.CopyObject": self._copy_object,
            "S3.DeleteObject": self._delete_object,
            "S3.DeleteObjects": self._delete_objects,
            "S3.CreateMultipartUpload": self._create_upload,
            "S3.UploadPart": self._upload_part,
            "S3.ListParts": self._list_parts,
            "S3.CompleteMultipartUpload": self._complete_upload,
            "S3.AbortMultipartUpload": self._abort_upload,
        }

    def region_for(self, request: Request) -> str:
        """The region that a request must be signed for if its bucket is to answer."""
        return self._store.region(address(request)[0]) or self._region

    def handle(self, operation: str, request: Request) -> Response:
        """Carries out a request that is authorized. Raises AwsError."""
        handler = self._operations.get(operation)
        if handler is None:
            raise AwsError("NotImplemented", "The emulator does not implement %s." % operation, 501)
        bucket, encoded_key = address(request)
        key = _decoded(encoded_key)
        _check_key(key)
        if request.fields.get("x-amz-expected-bucket-owner", ACCOUNT_ID) != ACCOUNT_ID:
            raise AwsError("AccessDenied", "Access Denied", 403)
        self._check_region(operation, request, bucket)
        return handler(request, bucket, key)

    def refuse(self, error: AwsError, request: Request) -> Response:
        """S3's answer to a request that an error ended."""
        headers = self.default_headers()
        members = {"Code": error.code, "Message": error.message, **error.members,
                   "RequestId": headers["x-amz-request-id"], "HostId": headers["x-amz-id-2"]}
        headers["Content-Type"] = "application/xml"
        if error.code in ("AuthorizationHeaderMalformed", "PermanentRedirect"):
            headers["x-amz-bucket-region"] = error.members.get("Region") or self.region_for(request)
        data = markup.document("Error", list(members.items()))
        # An answer to HEAD has no body, not even for an error.
        return Response(error.status, headers, b"" if request.method == "HEAD" else data, len(data))

    def replace(self, request: Request, content: bytes) -> None:
        """Gives the object that a request names another content. Where there is none, none is made."""
        bucket, encoded_key = address(request)
        key = _decoded(encoded_key)
        try:
            self._store.put(bucket, key, content, self._store.find(bucket, key).description)
        except AwsError:
            pass

    def lose(self, operation: str, request: Request) -> None:
        """Undoes what a request that was carried out has written: its part or its object."""
        bucket, encoded_key = address(request)
        key = _decoded(encoded_key)
        try:
            if operation == "S3.UploadPart":
                asked = parameters(request)
                self._store.lose_part(bucket, key, asked["uploadId"], int(asked["partNumber"]))
            elif operation in ("S3.PutObject", "S3.CopyObject", "S3.CompleteMultipartUpload"):
                self._store.delete(bucket, key)
        except AwsError:
            pass  # Another request was faster.

    def default_headers(self) -> Dict[str, Optional[str]]:
        """The headers of every answer."""
        return {
            "x-amz-id-2": base64.b64encode(secrets.token_bytes(48)).decode(),
            "x-amz-request-id": secrets.token_hex(8).upper(),
            "Date": formatdate(self._settings.now(), usegmt=True),
            "Server": "AmazonS3",
        }

    def _xml(self, name: str, value: Pairs) -> Response:
        headers = self.default_headers()
        headers["Content-Type"] = "application/xml"
        return Response(200, headers, markup.document(name, value, NAMESPACE))

    def _check_region(self, operation: str, request: Request, bucket: str) -> None:
        region = self._store.region(bucket)
        if region is None or operation in ("S3.CreateBucket", "S3.GetBucketLocation") or request.signer is None:
            return
        if region != request.signer.region:
            raise AwsError("PermanentRedirect", "The bucket you are attempting to access must be addressed using the "
                           "specified endpoint. Please send all future requests to this endpoint.", 301, {
                               "Endpoint": "%s.s3.%s.amazonaws.com" % (bucket, region), "Bucket": bucket})

    # Buckets.

    def _list_buckets(self, request: Request, bucket: str, key: str) -> Response:
        return self._xml("ListAllMyBucketsResult", [
            ("Owner", [("ID", ACCOUNT_ID)]),
            ("Buckets", [("Bucket", [("Name", name), ("CreationDate", _iso(created)), ("BucketRegion", region)])
                         for name, region, created in self._store.buckets()])])

    def _create_bucket(self, request: Request, bucket: str, key: str) -> Response:
        assert request.signer is not None
        region = request.signer.region
        if request.body:
            wanted = _read(request.body, "CreateBucketConfiguration").findtext("LocationConstraint") or FIRST_REGION
            if region not in (FIRST_REGION, wanted):
                raise AwsError("IllegalLocationConstraintException", "The %s location constraint is incompatible for the "
                               "region specific endpoint this request was sent to." % wanted, 400)
            region = wanted
        try:
            new = self._store.create_bucket(bucket, region)
        except ValueError:
            raise AwsError("InvalidBucketName", "The specified bucket is not valid.", 400, {"BucketName": bucket}) from None
        if not new and self._store.region(bucket) != FIRST_REGION:
            raise AwsError("BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you "
                           "already own it.", 409, {"BucketName": bucket})
        headers = self.default_headers()
        headers["Location"] = "/" + bucket
        return Response(200, headers)

    def _head_bucket(self, request: Request, bucket: str, key: str) -> Response:
        headers = self.default_headers()
        headers["x-amz-bucket-region"] = self._existing(bucket)
        return Response(200, headers)

    def _delete_bucket(self, request: Request, bucket: str, key: str) -> Response:
        self._store.delete_bucket(bucket)
        return Response(204, self.default_headers())

    def _get_bucket_location(self, request: Request, bucket: str, key: str) -> Response:
        region = self._existing(bucket)
        # The one document of S3's whose outermost element holds the value itself.
        body = markup.DECLARATION + markup.element("LocationConstraint", "" if region == FIRST_REGION else region, NAMESPACE)
        headers = self.default_headers()
        headers["Content-Type"] = "application/xml"
        return Response(200, headers, body.encode())

    def _existing(self, bucket: str) -> str:
        region = self._store.region(bucket)
        if region is None:
            raise objects.no_such_bucket(bucket)
        return region

    def _list_objects(self, request: Request, bucket: str, key: str) -> Response:
        asked = parameters(request)
        if asked["list-type"] != "2":
            raise AwsError("InvalidArgument", "Invalid List Type", 400)
        encoding = asked.get("encoding-type")
        if encoding not in (None, "url"):
            raise AwsError("InvalidArgument", "Invalid Encoding Method specified in Request", 400, {
                "ArgumentName": "encoding-type", "ArgumentValue": encoding or ""})
        limit = min(MAX_LISTED, _number(asked, "max-keys", 0, 2**31 - 1, MAX_LISTED))
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        after, token = asked.get("start-after", ""), asked.get("continuation-token")
        found, truncated = self._store.listing(bucket, prefix, delimiter,
                                               after if token is None else _list_position(token), limit)

        def shown(text: str) -> str:
            return quote_plus(text, safe="/") if encoding else text

        answer: Pairs = [
            ("Name", bucket), ("Prefix", shown(prefix)), ("Delimiter", shown(delimiter) if delimiter else None),
            ("MaxKeys", limit), ("EncodingType", encoding), ("KeyCount", len(found)), ("IsTruncated", truncated),
            ("StartAfter", shown(after) if after else None), ("ContinuationToken", token),
            ("NextContinuationToken", _list_token(found[-1][0]) if truncated else None)]
        owner = [("ID", ACCOUNT_ID)] if asked.get("fetch-owner") == "true" else None
        for name, stored in found:
            if stored is None:
                answer.append(("CommonPrefixes", [("Prefix", shown(name))]))
                continue
            answer.append(("Contents", [
                ("Key", shown(name)), ("LastModified", _iso(stored.last_modified)), ("ETag", '"%s"' % stored.etag),
                *_checksum_algorithm(stored), ("Size", stored.size), ("Owner", owner), ("StorageClass", "STANDARD")]))
        return self._xml("ListBucketResult", answer)

    # Objects.

    def _get_object(self, request: Request, bucket: str, key: str) -> Response:
        stored = self._store.find(bucket, key)
        headers = self.default_headers()
        headers["Last-Modified"] = formatdate(stored.last_modified, usegmt=True)
        headers["ETag"] = '"%s"' % stored.etag
        if not_modified(request.fields, stored):
            return Response(304, headers)
        headers["Accept-Ranges"] = "bytes"
        headers["Content-Type"] = stored.description.content_type
        headers.update(stored.description.headers)
        asked = parameters(request)
        for name in _RESPONSE_HEADERS:
            if "response-" + name in asked:
                headers.pop("Content-Type" if name == "content-type" else name, None)
                headers[name] = asked["response-" + name]
        span = byte_range(request.fields.get("range"), stored.size)
        status, first, length = 200, 0, stored.size
        if span is not None:
            status, first, length = 206, span[0], span[1] - span[0] + 1
            headers["Content-Range"] = "bytes %d-%d/%d" % (span[0], span[1], stored.size)
        if request.fields.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            sums = stored.checksums if span is None else range_checksums(stored, span)
            if sums:
                headers.update({**sums, "x-amz-checksum-type": stored.checksum_type})
        body: Union[bytes, FileSlice] = b""
        if request.method != "HEAD":
            try:
                body = FileSlice(open(stored.path, "rb"), first, length)
            except FileNotFoundError:
                # Replaced or deleted between the look-up and here.
                return self._get_object(request, bucket, key)
        return Response(status, headers, body, length)

    def _put_object(self, request: Request, bucket: str, key: str) -> Response:
        content, fields = _upload_of(request)
        sums = checksums.verified(content, fields)
        if not sums and self._settings.default_checksums:
            sums = {checksums.HEADER + checksums.DEFAULT: checksums.of_pieces(checksums.DEFAULT, (content,))}
        stored = self._store.put(bucket, key, content, _description(fields), sums, _write_condition(fields, key))
        headers = self.default_headers()
        headers["ETag"] = '"%s"' % stored.etag
        if sums:
            headers.update({**sums, "x-amz-checksum-type": stored.checksum_type})
        return Response(200, headers)

    def _copy_object(self, request: Request, bucket: str, key: str) -> Response:
        fields = request.fields
        if any(name.startswith("x-amz-copy-source-if-") for name in fields):
            raise AwsError("NotImplemented", "The emulator copies without conditions on the source.", 501)
        source_bucket, _, source_key = _decoded(fields["x-amz-copy-source"].lstrip("/")).partition("/")
        source = self._store.find(source_bucket, source_key)
        replace = fields.get("x-amz-metadata-directive", "COPY") == "REPLACE"
        if (source_bucket, source_key) == (bucket, key) and not replace:
            raise AwsError("InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself "
                           "without changing the object's metadata, storage class, website redirect location or encryption "
                           "attributes.", 400)
        # A composite checksum is none of the copy's, which has no parts.
        sums = source.checksums if source.checksum_type == checksums.FULL_OBJECT else {}
        stored = self._store.put_file(bucket, key, source.path, _description(fields) if replace else source.description,
                                      sums, _write_condition(fields, key))
        return self._xml("CopyObjectResult", [("LastModified", _iso(stored.last_modified)), ("ETag", '"%s"' % stored.etag),
                                              *_checksum_members(sums)])

    def _delete_object(self, request: Request, bucket: str, key: str) -> Response:
        self._store.delete(bucket, key, _write_condition(request.fields, key))
        return Response(204, self.default_headers())

    def _delete_objects(self, request: Request, bucket: str, key: str) -> Response:
        content, fields = _upload_of(request)
        if "content-md5" not in fields and checksums.stated(fields) is None:
            raise AwsError("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*", 400)
        checksums.verified(content, fields)
        self._existing(bucket)
        wanted = _read(content, "Delete")
        keys = [item.findtext("Key") or "" for item in wanted.findall("Object")]
        if not 1 <= len(keys) <= MAX_DELETED or "" in keys:
            raise _malformed_xml()
        answer: Pairs = []
        for name in keys:
            try:
                _check_key(name)
                self._store.delete(bucket, name)
            except AwsError as error:
                answer.append(("Error", [("Key", name), ("Code", error.code), ("Message", error.message)]))
            else:
                if wanted.findtext("Quiet") != "true":
                    answer.append(("Deleted", [("Key", name)]))
        return self._xml("DeleteResult", answer)

    # Uploads in parts.

    def _create_upload(self, request: Request, bucket: str, key: str) -> Response:
        fields = request.fields
        algorithm = fields.get("x-amz-checksum-algorithm", "").lower() or None
        kind = fields.get("x-amz-checksum-type", "").upper() or None
        if algorithm is not None and algorithm not in checksums.ALGORITHMS:
            raise AwsError("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the "
                           "valid types: [%s]" % ", ".join(name.upper() for name in checksums.ALGORITHMS), 400)
        if kind is not None and (algorithm is None or kind not in checksums.ALGORITHMS[algorithm].types):
            raise AwsError("InvalidRequest", "The %s checksum type cannot be used with the %s checksum algorithm."
                           % (kind, algorithm and algorithm.upper()), 400)
        if algorithm is not None and kind is None:
            kind = checksums.ALGORITHMS[algorithm].types[0]
        upload = self._store.create_upload(bucket, key, _description(fields), algorithm, kind or checksums.FULL_OBJECT)
        answer = self._xml("InitiateMultipartUploadResult", [("Bucket", bucket), ("Key", key), ("UploadId", upload.id)])
        if algorithm is not None:
            answer.headers.update({"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": kind})
        return answer

    def _upload_part(self, request: Request, bucket: str, key: str) -> Response:
        asked = parameters(request)
        try:
            number = _number(asked, "partNumber", 1, MAX_PARTS, 0)
        except AwsError:
            number = 0
        if number == 0:
            raise AwsError("InvalidArgument", "Part number must be an integer between 1 and %d, inclusive" % MAX_PARTS, 400, {
                "ArgumentName": "partNumber", "ArgumentValue": asked.get("partNumber", "")})
        upload = self._store.upload(bucket, key, asked["uploadId"])
        content, fields = _upload_of(request)
        sums = checksums.verified(content, fields)
        if upload.algorithm is not None:
            name = checksums.HEADER + upload.algorithm
            # Only a composite one needs those of the parts from the client: https://github.com/versity/versitygw/issues/1342
            if name not in sums and (sums or upload.checksum_type == checksums.COMPOSITE):
                actual = next((given[len(checksums.HEADER):] for given in sums), "null")
                raise AwsError("InvalidRequest", "Checksum Type mismatch occurred, expected checksum Type: %s, actual "
                               "checksum Type: %s" % (upload.algorithm, actual), 400)
            sums = sums or {name: checksums.of_pieces(upload.algorithm, (content,))}
        part = self._store.put_part(bucket, key, upload.id, number, content, sums)
        headers = self.default_headers()
        headers["ETag"] = '"%s"' % part.etag
        headers.update(sums)
        return Response(200, headers)

    def _list_parts(self, request: Request, bucket: str, key: str) -> Response:
        asked = parameters(request)
        upload = self._store.upload(bucket, key, asked["uploadId"])
        limit = min(MAX_LISTED, _number(asked, "max-parts", 0, 2**31 - 1, MAX_LISTED))
        marker = _number(asked, "part-number-marker", 0, 2**31 - 1, 0)
        found = sorted((number, part) for number, part in upload.parts.items() if number > marker)
        page = found[:limit]
        return self._xml("ListPartsResult", [
            ("Bucket", bucket), ("Key", key), ("UploadId", upload.id), ("PartNumberMarker", marker),
            ("NextPartNumberMarker", page[-1][0] if page else 0), ("MaxParts", limit),
            ("IsTruncated", 0 < limit < len(found)), ("StorageClass", "STANDARD"), *_upload_checksum(upload),
            *(("Part", [("PartNumber", number), ("LastModified", _iso(part.last_modified)), ("ETag", '"%s"' % part.etag),
                        ("Size", part.size), *_checksum_members(part.checksums)]) for number, part in page)])

    def _list_uploads(self, request: Request, bucket: str, key: str) -> Response:
        asked = parameters(request)
        for name in ("delimiter", "encoding-type"):
            if name in asked:
                raise AwsError("NotImplemented", "The emulator lists uploads without %s." % name, 501)
        limit = min(MAX_LISTED, _number(asked, "max-uploads", 1, 2**31 - 1, MAX_LISTED))
        prefix, marker, id_marker = (asked.get(name, "") for name in ("prefix", "key-marker", "upload-id-marker"))
        found = [upload for upload in self._store.uploads(bucket) if upload.key.startswith(prefix)]
        passed = [index for index, upload in enumerate(found) if upload.key < marker or (
            upload.key == marker and id_marker in ("", upload.id))]
        found = found[passed[-1] + 1:] if passed else found
        page, truncated = found[:limit], len(found) > limit
        who = [("ID", ACCOUNT_ID)]
        return self._xml("ListMultipartUploadsResult", [
            ("Bucket", bucket), ("Prefix", prefix), ("KeyMarker", marker), ("UploadIdMarker", id_marker),
            ("NextKeyMarker", page[-1].key if truncated else None), ("NextUploadIdMarker", page[-1].id if truncated else None),
            ("MaxUploads", limit), ("IsTruncated", truncated),
            *(("Upload", [
                ("Key", upload.key), ("UploadId", upload.id), ("Initiator", who), ("Owner", who), ("StorageClass", "STANDARD"),
                ("Initiated", _iso(upload.begun)), *_upload_checksum(upload)]) for upload in page)])

    def _complete_upload(self, request: Request, bucket: str, key: str) -> Response:
        with self._completing:
            return self._complete_alone(request, bucket, key)

    def _complete_alone(self, request: Request, bucket: str, key: str) -> Response:
        upload = self._store.upload(bucket, key, parameters(request)["uploadId"])
        parts = _chosen_parts(upload, _read(request.body, "CompleteMultipartUpload"))
        size = sum(part.size for part in parts)
        if request.fields.get("x-amz-mp-object-size", str(size)) != str(size):
            raise AwsError("InvalidRequest", "The provided 'x-amz-mp-object-size' header value does not match what was "
                           "computed.", 400)
        if request.fields.get("x-amz-checksum-type", upload.checksum_type).upper() != upload.checksum_type:
            raise AwsError("InvalidRequest", "The upload was created using the %s checksum mode. The complete request must "
                           "use the same checksum mode." % upload.checksum_type, 400)
        sums = {}
        algorithm = upload.algorithm or (checksums.DEFAULT if self._settings.default_checksums else None)
        if algorithm is not None:
            name = checksums.HEADER + algorithm
            if upload.checksum_type == checksums.COMPOSITE:
                sums[name] = checksums.composite(algorithm, [part.checksums[name] for part in parts])
            else:
                sums[name] = checksums.of_pieces(algorithm, objects.part_pieces(parts))
            given = checksums.stated(request.fields)
            if given is not None and sums.get(checksums.HEADER + given[0]) not in (given[1], given[1] + "-%d" % len(parts)):
                raise checksums.mismatch(given[0])
        stored = self._store.complete_upload(bucket, key, upload.id, parts, sums, _write_condition(request.fields, key))
        kind = [("ChecksumType", stored.checksum_type)] if sums else []
        return self._xml("CompleteMultipartUploadResult", [
            ("Location", "%s://%s/%s/%s" % ("https" if request.secure else "http", request.fields.get("host", ""), bucket,
                                            key)),
            ("Bucket", bucket), ("Key", key), ("ETag", '"%s"' % stored.etag), *_checksum_members(sums), *kind])

    def _abort_upload(self, request: Request, bucket: str, key: str) -> Response:
        self._store.abort_upload(bucket, key, parameters(request)["uploadId"])
        return Response(204, self.default_headers())


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


def range_checksums(stored: StoredObject, span: Tuple[int, int]) -> Dict[str, str]:
    """The checksum headers of an answer to a range: only the whole object and a single part have any.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html, "Part-level checksums"; that
    a composite checksum then comes without the number of parts: https://github.com/boto/botocore/issues/3346
    """
    first, last = span
    if (first, last) == (0, stored.size - 1):
        return {name: value.partition("-")[0] for name, value in stored.checksums.items()}
    begin = 0
    for part in stored.parts:
        if (first, last) == (begin, begin + part.size - 1):
            return part.checksums
        begin += part.size
    return {}


def not_modified(fields: Dict[str, str], stored: StoredObject) -> bool:
    """Whether a read's conditions say that the client has the object already. Raises AwsError PreconditionFailed.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-reads.html; a condition on the ETag outweighs the
    one on the time that goes with it.
    """
    if "if-match" in fields:
        if not _matches(fields["if-match"], stored):
            raise _precondition_failed("If-Match")
    elif "if-unmodified-since" in fields:
        since = _http_date(fields["if-unmodified-since"])
        if since is not None and int(stored.last_modified) > since:
            raise _precondition_failed("If-Unmodified-Since")
    if "if-none-match" in fields:
        return _matches(fields["if-none-match"], stored)
    since = _http_date(fields.get("if-modified-since", ""))
    return since is not None and int(stored.last_modified) <= since


def _write_condition(fields: Dict[str, str], key: str) -> Condition:
    """What If-Match and If-None-Match demand of the object that is there.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    if_match, if_none_match = fields.get("if-match"), fields.get("if-none-match")
    if if_none_match not in (None, "*"):
        raise AwsError("NotImplemented", "A header you provided implies functionality that is not implemented", 501,
                       {"Header": "If-None-Match"})

    def check(present: Optional[StoredObject]) -> None:
        if if_none_match is not None and present is not None:
            raise _precondition_failed("If-None-Match")
        if if_match is not None:
            if present is None:
                raise objects.no_such_key(key)
            if not _matches(if_match, present):
                raise _precondition_failed("If-Match")

    return check


def _matches(etags: str, stored: StoredObject) -> bool:
    return any(etag.strip() in ("*", stored.etag, '"%s"' % stored.etag) for etag in etags.split(","))


def _precondition_failed(condition: str) -> AwsError:
    return AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412,
                    {"Condition": condition})


def _http_date(text: str) -> Optional[int]:
    parts = parsedate(text)
    return None if parts is None else calendar.timegm(parts)


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".%03dZ" % (seconds % 1 * 1000)


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeDecodeError:
        raise AwsError("InvalidURI", "Couldn't parse the specified URI.", 400) from None


def _check_key(key: str) -> None:
    size = len(key.encode())
    if size > MAX_KEY_BYTES:
        raise AwsError("KeyTooLongError", "Your key is too long", 400, {"Size": str(size),
                                                                        "MaxSizeAllowed": str(MAX_KEY_BYTES)})


def _number(asked: Dict[str, str], name: str, smallest: int, largest: int, default: int) -> int:
    text = asked.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and smallest <= int(text) <= largest):
        raise AwsError("InvalidArgument", "Provided %s not an integer or within integer range" % name, 400, {
            "ArgumentName": name, "ArgumentValue": text})
    return int(text)


def _list_token(name: str) -> str:
    return base64.b64encode(name.encode()).decode()


def _list_position(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise AwsError("InvalidArgument", "The continuation token provided is incorrect", 400, {
            "ArgumentName": "continuation-token", "ArgumentValue": token}) from None


def _malformed_xml() -> AwsError:
    return AwsError("MalformedXML", "The XML you provided was not well-formed or did not validate against our published "
                    "schema", 400)


def _read(body: bytes, name: str) -> ElementTree.Element:
    try:
        return markup.parsed(body, name)
    except ValueError:
        raise _malformed_xml() from None


def _upload_of(request: Request) -> Tuple[bytes, Dict[str, str]]:
    """Content and headers of an upload, with the trailers and without the coding that they came in."""
    fields = dict(request.fields)
    if "transfer-encoding" in fields and "x-amz-decoded-content-length" not in fields:
        raise AwsError("NotImplemented", "A header you provided implies functionality that is not implemented", 501,
                       {"Header": "Transfer-Encoding"})
    if "content-length" not in fields and "transfer-encoding" not in fields:
        raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    if not fields.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return request.body, fields
    content, trailers = checksums.without_aws_chunks(request.body)
    if fields.get("x-amz-decoded-content-length", str(len(content))) != str(len(content)):
        raise AwsError("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP "
                       "header", 400)
    fields.update(trailers)
    codings = [coding.strip() for coding in fields.pop("content-encoding", "").split(",")]
    kept = [coding for coding in codings if coding not in ("", "aws-chunked")]
    if kept:
        fields["content-encoding"] = ",".join(kept)
    return content, fields


def _description(fields: Dict[str, str]) -> Description:
    return Description(fields.get("content-type", objects.DEFAULT_CONTENT_TYPE), {
        name: value for name, value in fields.items() if name.startswith("x-amz-meta-") or name in _KEPT_HEADERS})


def _checksum_members(sums: Dict[str, str]) -> Pairs:
    """The elements ChecksumCRC32 and the like."""
    return [("Checksum" + name[len(checksums.HEADER):].upper(), value) for name, value in sums.items()]


def _checksum_algorithm(stored: StoredObject) -> Pairs:
    return [pair for name in stored.checksums for pair in (
        ("ChecksumAlgorithm", name[len(checksums.HEADER):].upper()), ("ChecksumType", stored.checksum_type))]


def _upload_checksum(upload: Upload) -> Pairs:
    return [] if upload.algorithm is None else [("ChecksumAlgorithm", upload.algorithm.upper()),
                                                ("ChecksumType", upload.checksum_type)]


def _chosen_parts(upload: Upload, wanted: ElementTree.Element) -> List[Part]:
    """The parts that a CompleteMultipartUpload names. Raises AwsError."""
    items = wanted.findall("Part")
    try:
        numbers = [int(item.findtext("PartNumber") or "") for item in items]
    except ValueError:
        raise _malformed_xml() from None
    if not items:
        raise _malformed_xml()
    if any(later <= earlier for earlier, later in zip(numbers, numbers[1:])):
        raise AwsError("InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part "
                       "number.", 400, {"UploadId": upload.id})
    parts = []
    for number, item in zip(numbers, items):
        part, etag = upload.parts.get(number), (item.findtext("ETag") or "").strip('"')
        sums = {} if part is None else dict(_checksum_members(part.checksums))
        given = {child.tag: child.text for child in item if child.tag.startswith("Checksum")}
        if part is None or etag != part.etag or any(sums.get(name) != value for name, value in given.items()):
            raise AwsError("InvalidPart", "One or more of the specified parts could not be found. The part may not have been "
                           "uploaded, or the specified entity tag may not match the part's entity tag.", 400, {
                               "UploadId": upload.id, "PartNumber": str(number), "ETag": etag})
        if upload.algorithm is not None and upload.checksum_type == checksums.COMPOSITE and not given:
            raise AwsError("InvalidRequest", "The upload was created using a %s checksum. The complete request must include "
                           "the checksum for each part. It was missing for part %d in the request."
                           % (upload.algorithm, number), 400)
        parts.append(part)
    for number, part in list(zip(numbers, parts))[:-1]:
        if part.size < objects.MIN_PART_BYTES:
            raise AwsError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", 400, {
                "ProposedSize": str(part.size), "MinSizeAllowed": str(objects.MIN_PART_BYTES), "PartNumber": str(number),
                "ETag": part.etag})
    return parts
