"""What S3 keeps: buckets, objects, and uploads in parts that are not objects yet. s3.py speaks for it."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import secrets
import shutil
import threading
import time
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import checksums
from .checksums import FULL_OBJECT
from .errors import AwsError

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
MIN_PART_BYTES = 5 * 1024 * 1024
PIECE_BYTES = 1024 * 1024

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")


class Description(NamedTuple):
    """What an object has besides its content. headers: to be given back, with x-amz-meta-…, by lower-case name."""

    content_type: str = DEFAULT_CONTENT_TYPE
    headers: Dict[str, str] = {}


class Part(NamedTuple):
    """One part of an upload. path: its file, which is gone once the parts are an object."""

    path: str
    size: int
    etag: str
    last_modified: float
    checksums: Dict[str, str]


class StoredObject(NamedTuple):
    """One object. checksums: the x-amz-checksum-… header that is right for it, if any, by lower-case name. parts: those it
    was uploaded in."""

    path: str
    size: int
    etag: str
    last_modified: float
    description: Description
    checksums: Dict[str, str]
    checksum_type: str = FULL_OBJECT
    parts: Sequence[Part] = ()


# Looks at the object that a write would replace, or None, and raises AwsError where it must not.
Condition = Callable[[Optional[StoredObject]], None]


class Upload(NamedTuple):
    """An upload in parts. algorithm: of the checksums of all parts, or None. checksum_type: of the whole."""

    id: str
    key: str
    begun: float
    description: Description
    algorithm: Optional[str]
    checksum_type: str
    parts: Dict[int, Part]


class Bucket:
    """One bucket. Its dicts change only under the store's lock."""

    def __init__(self, region: str):
        self.region = region
        self.created = time.time()
        self.objects: Dict[str, StoredObject] = {}
        self.uploads: Dict[str, Upload] = {}

    def paths(self) -> List[str]:
        """The files of everything in it."""
        return [stored.path for stored in self.objects.values()] + [
            part.path for upload in self.uploads.values() for part in upload.parts.values()]


class ObjectStore:
    """Buckets and objects. Safe to use from any thread.

    Contents lie in files named by a hash of bucket and key, so that no key can name a file elsewhere. A file is never
    changed once it is there: who reads an object while it is replaced reads the old one to its end.
    """

    def __init__(self, directory: str):
        """directory: an existing one, for the files."""
        self._directory = directory
        self._lock = threading.Lock()
        self._buckets: Dict[str, Bucket] = {}
        self._versions = itertools.count(1)

    # Buckets.

    def create_bucket(self, bucket: str, region: str) -> bool:
        """Makes a bucket; one that exists stays. Whether it is new. Raises ValueError for a name that S3 would not take."""
        if not _BUCKET_NAME.match(bucket):
            raise ValueError("not a bucket name: %r" % bucket)
        with self._lock:
            if bucket in self._buckets:
                return False
            self._buckets[bucket] = Bucket(region)
            return True

    def delete_bucket(self, bucket: str) -> None:
        """Removes a bucket and the uploads begun in it. Raises AwsError NoSuchBucket or BucketNotEmpty."""
        with self._lock:
            removed = self._bucket(bucket)
            if removed.objects:
                raise AwsError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409, {"BucketName": bucket})
            del self._buckets[bucket]
        _unlink(removed.paths())

    def region(self, bucket: str) -> Optional[str]:
        """A bucket's region, None where there is no such bucket."""
        with self._lock:
            found = self._buckets.get(bucket)
        return None if found is None else found.region

    def buckets(self) -> List[Tuple[str, str, float]]:
        """Name, region and time of creation of each bucket, in the order of their names."""
        with self._lock:
            return [(name, bucket.region, bucket.created) for name, bucket in sorted(self._buckets.items())]

    def clear(self, buckets: Dict[str, str]) -> None:
        """Forgets everything, then makes the buckets named, each with its region."""
        with self._lock:
            removed = [path for bucket in self._buckets.values() for path in bucket.paths()]
            self._buckets = {name: Bucket(region) for name, region in buckets.items()}
        _unlink(removed)

    # Objects.

    def put(self, bucket: str, key: str, content: bytes, description: Description = Description(),
            sums: Optional[Dict[str, str]] = None, condition: Optional[Condition] = None) -> StoredObject:
        """Stores an object. Raises AwsError NoSuchBucket, and what the condition raises."""
        path = self._new_path(bucket, key)
        with open(path, "wb") as file:
            file.write(content)
        return self._add(bucket, key, StoredObject(path, len(content), hashlib.md5(content).hexdigest(), time.time(),
                                                   description, sums or {}), condition)

    def put_file(self, bucket: str, key: str, source: str, description: Description,
                 sums: Optional[Dict[str, str]] = None, condition: Optional[Condition] = None) -> StoredObject:
        """Stores a copy of a file. Raises AwsError as put() does, and OSError."""
        path = self._new_path(bucket, key)
        shutil.copyfile(source, path)
        digest = hashlib.md5()
        for piece in _pieces(path):
            digest.update(piece)
        return self._add(bucket, key, StoredObject(path, os.path.getsize(path), digest.hexdigest(), time.time(),
                                                   description, sums or {}), condition)

    def find(self, bucket: str, key: str) -> StoredObject:
        """Raises AwsError NoSuchBucket or NoSuchKey."""
        with self._lock:
            found = self._bucket(bucket).objects.get(key)
        if found is None:
            raise no_such_key(key)
        return found

    def delete(self, bucket: str, key: str, condition: Optional[Condition] = None) -> None:
        """Removes an object; one that is not there is no error. Raises AwsError NoSuchBucket."""
        with self._lock:
            objects = self._bucket(bucket).objects
            if condition is not None:
                condition(objects.get(key))
            removed = objects.pop(key, None)
        if removed is not None:
            os.unlink(removed.path)

    def rename(self, bucket: str, key: str, new_bucket: str, new_key: str) -> None:
        """Gives an object another key, as no client of S3 can. Raises AwsError NoSuchBucket or NoSuchKey."""
        with self._lock:
            target = self._bucket(new_bucket).objects
            stored = self._bucket(bucket).objects.pop(key, None)
            if stored is None:
                raise no_such_key(key)
            replaced, target[new_key] = target.get(new_key), stored
        if replaced is not None:
            os.unlink(replaced.path)

    def listing(self, bucket: str, prefix: str, delimiter: str, after: str,
                limit: int) -> Tuple[List[Tuple[str, Optional[StoredObject]]], bool]:
        """One page of a list in the order of the names' UTF-8, and whether there is more.

        A name is a key with its object, or with None what keys up to the first delimiter after the prefix have in common.
        Only names greater than `after` are listed.
        """
        with self._lock:
            objects = dict(self._bucket(bucket).objects)
        names: Dict[str, Optional[StoredObject]] = {}
        for key, stored in objects.items():
            if key.startswith(prefix):
                end = key.find(delimiter, len(prefix)) if delimiter else -1
                names[key if end < 0 else key[:end + len(delimiter)]] = stored if end < 0 else None
        # Python compares text by code points, which is the order of their UTF-8.
        found = sorted((name, stored) for name, stored in names.items() if name > after)
        return found[:limit], 0 < limit < len(found)

    # Uploads in parts.

    def create_upload(self, bucket: str, key: str, description: Description, algorithm: Optional[str],
                      checksum_type: str) -> Upload:
        """Begins an upload. Raises AwsError NoSuchBucket."""
        upload = Upload(secrets.token_urlsafe(48), key, time.time(), description, algorithm, checksum_type, {})
        with self._lock:
            self._bucket(bucket).uploads[upload.id] = upload
        return upload

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        """Raises AwsError NoSuchBucket or NoSuchUpload."""
        with self._lock:
            return self._upload(bucket, key, upload_id)

    def uploads(self, bucket: str) -> List[Upload]:
        """The uploads that have not ended, ordered by key, then by their beginning. Raises AwsError NoSuchBucket."""
        with self._lock:
            return sorted(self._bucket(bucket).uploads.values(), key=lambda upload: (upload.key, upload.begun))

    def lose_part(self, bucket: str, key: str, upload_id: str, number: int) -> None:
        """Forgets a part that was stored. Raises AwsError NoSuchBucket or NoSuchUpload."""
        with self._lock:
            lost = self._upload(bucket, key, upload_id).parts.pop(number, None)
        if lost is not None:
            os.unlink(lost.path)

    def put_part(self, bucket: str, key: str, upload_id: str, number: int, content: bytes,
                 sums: Dict[str, str]) -> Part:
        """Stores a part in place of any that had its number. Raises AwsError NoSuchBucket or NoSuchUpload."""
        path = self._new_path(bucket, key)
        with open(path, "wb") as file:
            file.write(content)
        part = Part(path, len(content), hashlib.md5(content).hexdigest(), time.time(), sums)
        replaced: Optional[Part] = None
        try:
            with self._lock:
                parts = self._upload(bucket, key, upload_id).parts
                replaced, parts[number] = parts.get(number), part
        except AwsError:
            os.unlink(path)
            raise
        if replaced is not None:
            os.unlink(replaced.path)
        return part

    def complete_upload(self, bucket: str, key: str, upload_id: str, parts: Sequence[Part], sums: Dict[str, str],
                        condition: Condition) -> StoredObject:
        """Makes an object of parts, which belong to the upload. Raises AwsError."""
        upload = self.upload(bucket, key, upload_id)
        path = self._new_path(bucket, key)
        with open(path, "wb") as file:
            for part in parts:
                for piece in _pieces(part.path):
                    file.write(piece)
        etag = "%s-%d" % (hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts)).hexdigest(), len(parts))
        stored = self._add(bucket, key, StoredObject(path, sum(part.size for part in parts), etag, time.time(),
                                                     upload.description, sums, upload.checksum_type, parts), condition)
        self.abort_upload(bucket, key, upload_id)
        return stored

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Forgets an upload and its parts. Raises AwsError NoSuchBucket or NoSuchUpload."""
        with self._lock:
            upload = self._upload(bucket, key, upload_id)
            del self._bucket(bucket).uploads[upload_id]
        _unlink(part.path for part in upload.parts.values())

    # With the lock held.

    def _bucket(self, bucket: str) -> Bucket:
        found = self._buckets.get(bucket)
        if found is None:
            raise no_such_bucket(bucket)
        return found

    def _upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        upload = self._bucket(bucket).uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise AwsError("NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload "
                           "may have been aborted or completed.", 404, {"UploadId": upload_id})
        return upload

    # Without it.

    def _new_path(self, bucket: str, key: str) -> str:
        name = hashlib.sha256(("%s\0%s" % (bucket, key)).encode("utf-8", "surrogateescape")).hexdigest()
        with self._lock:
            self._bucket(bucket)
            return os.path.join(self._directory, "%s.%d" % (name, next(self._versions)))

    def _add(self, bucket: str, key: str, stored: StoredObject, condition: Optional[Condition]) -> StoredObject:
        try:
            with self._lock:
                objects = self._bucket(bucket).objects
                replaced = objects.get(key)
                if condition is not None:
                    condition(replaced)
                objects[key] = stored
        except AwsError:
            os.unlink(stored.path)
            raise
        if replaced is not None:
            os.unlink(replaced.path)
        return stored


def no_such_bucket(bucket: str) -> AwsError:
    """The error for a bucket that is not there."""
    return AwsError("NoSuchBucket", "The specified bucket does not exist", 404, {"BucketName": bucket})


def no_such_key(key: str) -> AwsError:
    """The error for an object that is not there."""
    return AwsError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key})


def part_pieces(parts: Iterable[Part]) -> Iterator[bytes]:
    """The contents of parts, one after the other, in pieces that fit into memory."""
    for part in parts:
        yield from _pieces(part.path)


def _pieces(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from iter(lambda: file.read(PIECE_BYTES), b"")


def _unlink(paths: Iterable[str]) -> None:
    for path in paths:
        os.unlink(path)
