"""The objects as Spark sees them under s3://: Hadoop's WebHDFS over the same store, which Spark's own jars speak.

kernel.py maps s3://BUCKET onto webhdfs://HOST:PORT/SECRET/BUCKET with Hadoop's ViewFileSystemOverloadScheme. What Spark
writes is an object at once, and the other way round. Folders are what keys have in common; an empty one exists only here.
https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html
"""

from __future__ import annotations

import json
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple
from urllib.parse import parse_qsl, quote, unquote

from .errors import AwsError
from .objects import ObjectStore, StoredObject
from .wire import FileSlice, Request, Response

PREFIX = "/webhdfs/v1/"

# What Spark splits files by: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-file-systems.html
_BLOCK_BYTES = 64 * 1024 * 1024
_EVERYTHING = 2**31


class _Path(NamedTuple):
    """A path of Hadoop's. Both are '' for the root, the key alone for a bucket's."""

    bucket: str
    key: str

    @property
    def folder(self) -> str:
        """What the keys of what is in it begin with."""
        return self.key + "/" if self.key else ""

    def parents(self) -> List["_Path"]:
        """The folders that it is in, without the bucket."""
        parts = self.key.split("/")
        return [_Path(self.bucket, "/".join(parts[:count])) for count in range(1, len(parts))]


class WebHdfsService:
    """Answers requests whose path begins with the secret. Safe to use from any thread."""

    def __init__(self, store: ObjectStore, secret: str):
        self._store = store
        self._secret = secret
        self._lock = threading.RLock()
        self._empty_folders: Set[_Path] = set()
        self._operations: Dict[Tuple[str, str], Callable[[Request, _Path, Dict[str, str]], Response]] = {
            ("GET", "GETFILESTATUS"): lambda request, path, asked: _answer({"FileStatus": self._status(path)}),
            ("GET", "LISTSTATUS"): lambda request, path, asked: _answer({"FileStatuses": {"FileStatus": self._list(path)}}),
            ("GET", "LISTSTATUS_BATCH"): lambda request, path, asked: _answer({"DirectoryListing": {
                "partialListing": {"FileStatuses": {"FileStatus": self._list(path)}}, "remainingEntries": 0}}),
            ("GET", "GETCONTENTSUMMARY"): self._summary,
            ("GET", "GETFILEBLOCKLOCATIONS"): self._locate,
            ("GET", "GET_BLOCK_LOCATIONS"): self._locate_blocks,
            ("GET", "OPEN"): self._open,
            ("PUT", "CREATE"): self._create,
            ("PUT", "MKDIRS"): self._make_folders,
            ("PUT", "RENAME"): self._rename,
            ("DELETE", "DELETE"): self._delete,
            # Objects have no such thing: what is asked for is as good as done.
            **{("PUT", name): lambda request, path, asked: Response(200, {})
               for name in ("SETPERMISSION", "SETOWNER", "SETTIMES", "SETREPLICATION")},
        }

    def operation_name(self, request: Request) -> str:
        """WebHDFS's name of the operation."""
        return _parameters(request).get("op", "").upper()

    def verify(self, request: Request, operation: str) -> None:
        """Raises AwsError unless the request knows the secret."""
        if not request.path.startswith(PREFIX + self._secret):
            raise AwsError("AccessControlException", "Permission denied", 403)

    def handle(self, operation: str, request: Request) -> Response:
        """Carries out a request. Raises AwsError."""
        act = self._operations.get((request.method, operation))
        if act is None:
            raise AwsError("UnsupportedOperationException", "Objects in S3 have no %s." % operation, 400)
        bucket, _, key = unquote(request.path[len(PREFIX + self._secret):]).strip("/").partition("/")
        with self._lock:
            return act(request, _Path(bucket, key), _parameters(request))

    def refuse(self, error: AwsError, request: Request) -> Response:
        """The answer of an error, which is an exception of Java's."""
        name = {"NoSuchBucket": "FileNotFoundException", "NoSuchKey": "FileNotFoundException"}.get(error.code, error.code)
        return _answer({"RemoteException": {"exception": name, "javaClassName": _JAVA_CLASSES.get(name, "java.io.IOException"),
                                            "message": error.message}}, error.status)

    def clear(self) -> None:
        """Forgets the empty folders."""
        with self._lock:
            self._empty_folders.clear()

    # What there is.

    def _object(self, path: _Path) -> Optional[StoredObject]:
        try:
            return self._store.find(*path) if path.key else None
        except AwsError as error:
            if error.code == "NoSuchBucket":
                raise
            return None

    def _is_folder(self, path: _Path) -> bool:
        if not path.key:
            return not path.bucket or self._store.region(path.bucket) is not None
        return bool(self._folders(path) or self._store.listing(path.bucket, path.folder, "", "", 1)[0])

    def _folders(self, path: _Path) -> List[_Path]:
        """The empty folders at a path and below it."""
        return [folder for folder in self._empty_folders if folder == path or (
            folder.bucket == path.bucket and folder.key.startswith(path.folder))]

    def _status(self, path: _Path) -> Dict[str, Any]:
        stored = self._object(path)
        if stored is None and not self._is_folder(path):
            raise AwsError("FileNotFoundException", "File does not exist: s3://%s/%s" % path, 404)
        return _file_status("", stored)

    def _list(self, path: _Path) -> List[Dict[str, Any]]:
        stored = self._object(path)
        if stored is not None:
            return [_file_status("", stored)]
        self._status(path)
        if not path.bucket:
            return [_file_status(name, None) for name, _, _ in self._store.buckets()]
        found: Dict[str, Optional[StoredObject]] = {
            folder.key[len(path.folder):].partition("/")[0]: None for folder in self._folders(path) if folder != path}
        for name, item in self._store.listing(path.bucket, path.folder, "/", "", _EVERYTHING)[0]:
            # An object comes before a folder of its name. What no path can say, such as a//b, is not seen.
            name = name[len(path.folder):].rstrip("/")
            if name not in ("", ".", "..") and found.get(name) is None:
                found[name] = item
        return [_file_status(name, item) for name, item in sorted(found.items(), key=lambda pair: pair[0])]

    def _contents(self, path: _Path) -> List[Tuple[str, StoredObject]]:
        """Key and object of the object at a path, or of all that are in the folder."""
        stored = self._object(path)
        if stored is not None:
            return [(path.key, stored)]
        found = self._store.listing(path.bucket, path.folder, "", "", _EVERYTHING)[0] if path.bucket else []
        return [(key, item) for key, item in found if item is not None]

    def _summary(self, request: Request, path: _Path, asked: Dict[str, str]) -> Response:
        self._status(path)
        contents = self._contents(path)
        size = sum(stored.size for _, stored in contents)
        return _answer({"ContentSummary": {"directoryCount": 1, "fileCount": len(contents), "length": size, "quota": -1,
                                           "spaceConsumed": size, "spaceQuota": -1}})

    def _locate(self, request: Request, path: _Path, asked: Dict[str, str]) -> Response:
        # One block: some readers take a file without any for one that cannot be.
        length = self._status(path)["length"]
        where = "127.0.0.1:9866"
        return _answer({"BlockLocations": {"BlockLocation": [{
            "offset": 0, "length": length, "hosts": ["localhost"], "names": [where], "cachedHosts": [], "corrupt": False,
            "storageTypes": ["DISK"], "topologyPaths": ["/default-rack/" + where]}] if length else []}})

    def _locate_blocks(self, request: Request, path: _Path, asked: Dict[str, str]) -> Response:
        # The same for Hadoop before 3.4.
        length = self._status(path)["length"]
        return _answer({"LocatedBlocks": {
            "fileLength": length, "isUnderConstruction": False, "isLastBlockComplete": True, "locatedBlocks": [{
                "block": {"blockPoolId": "", "blockId": 0, "generationStamp": 0, "numBytes": length}, "startOffset": 0,
                "isCorrupt": False, "locations": [], "cachedLocations": []}] if length else []}})

    def _open(self, request: Request, path: _Path, asked: Dict[str, str]) -> Response:
        stored = self._object(path)
        if stored is None:
            self._status(path)
            raise AwsError("FileNotFoundException", "Path is not a file: s3://%s/%s" % path, 404)
        offset = min(int(asked.get("offset", 0)), stored.size)
        length = min(int(asked.get("length", stored.size)), stored.size - offset)
        try:
            body = FileSlice(open(stored.path, "rb"), offset, length)
        except FileNotFoundError:
            # Replaced or deleted between the look-up and here.
            return self._open(request, path, asked)
        return Response(200, {}, body)

    # What changes.

    def _create(self, request: Request, path: _Path, asked: Dict[str, str]) -> Response:
        if self._is_folder(path) or (asked.get("overwrite") != "true" and self._object(path) is not None):
            raise AwsError("FileAlreadyExistsException", "s3://%s/%s already exists" % path, 403)
        if "written" not in asked:
            # The content comes with a second request, to where the first is sent: here.
            return Response(307, {"Location": "http://%s%s?%s&written=" % (
                request.fields.get("host", ""), quote(unquote(request.path)), request.query)})
        self._store.put(path.bucket, path.key, request.body)
        self._fill(path)
        return Response(201, {})

    def _make_folders(self, request: Request, path: _Path, asked: Dict[str, str]) -> Response:
        if self._store.region(path.bucket) is None:
            raise AwsError("FileNotFoundException", "The bucket %s does not exist" % path.bucket, 404)
        for folder in [*path.parents(), path]:
            if self._object(folder) is not None:
                raise AwsError("FileAlreadyExistsException", "s3://%s/%s is a file" % folder, 403)
        if not self._is_folder(path):
            self._fill(path)
            self._empty_folders.add(path)
        return _answer({"boolean": True})

    def _rename(self, request: Request, path: _Path, asked: Dict[str, str]) -> Response:
        _, _, rest = asked["destination"].strip("/").partition("/")
        bucket, _, key = rest.partition("/")
        target = _Path(bucket, key)
        if self._is_folder(target):
            target = _Path(bucket, target.folder + path.key.rpartition("/")[2])
        moved, folders = self._contents(path), self._folders(path)
        into_itself = target.bucket == path.bucket and target.key.startswith(path.folder)
        if not (moved or folders) or into_itself or self._object(target) is not None or self._is_folder(target):
            return _answer({"boolean": False})
        self._fill(target)
        for old, _ in moved:
            self._store.rename(path.bucket, old, target.bucket, target.key + old[len(path.key):])
        self._empty_folders.difference_update(folders)
        self._empty_folders.update(_Path(target.bucket, target.key + folder.key[len(path.key):]) for folder in folders)
        self._keep_parent(path)
        return _answer({"boolean": True})

    def _delete(self, request: Request, path: _Path, asked: Dict[str, str]) -> Response:
        if not path.key:
            raise AwsError("AccessControlException", "A bucket is not deleted by its path", 403)
        contents, folders = self._contents(path), self._folders(path)
        if asked.get("recursive") != "true" and (any(key != path.key for key, _ in contents) or set(folders) - {path}):
            raise AwsError("PathIsNotEmptyDirectoryException", "s3://%s/%s is not empty" % path, 403)
        for key, _ in contents:
            self._store.delete(path.bucket, key)
        self._empty_folders.difference_update(folders)
        if contents or folders:
            self._keep_parent(path)
        return _answer({"boolean": bool(contents or folders)})

    def _fill(self, path: _Path) -> None:
        """The folders that a path is in are no longer empty: they exist by what is in them."""
        self._empty_folders.difference_update(path.parents())

    def _keep_parent(self, path: _Path) -> None:
        """A folder stays when the last that was in it goes, as Hadoop's folders do."""
        for parent in path.parents()[-1:]:
            if not self._is_folder(parent):
                self._empty_folders.add(parent)


_JAVA_CLASSES = {
    "FileNotFoundException": "java.io.FileNotFoundException",
    "UnsupportedOperationException": "java.lang.UnsupportedOperationException",
    "FileAlreadyExistsException": "org.apache.hadoop.fs.FileAlreadyExistsException",
    "PathIsNotEmptyDirectoryException": "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException",
    "AccessControlException": "org.apache.hadoop.security.AccessControlException",
}


def _parameters(request: Request) -> Dict[str, str]:
    # As Java writes them: '+' is a space.
    return dict(parse_qsl(request.query, keep_blank_values=True))


def _file_status(name: str, stored: Optional[StoredObject]) -> Dict[str, Any]:
    """A FileStatus: of an object, or without one of a folder."""
    size, modified = (0, 0) if stored is None else (stored.size, int(stored.last_modified * 1000))
    return {"pathSuffix": name, "type": "DIRECTORY" if stored is None else "FILE", "length": size, "accessTime": modified,
            "modificationTime": modified, "blockSize": 0 if stored is None else _BLOCK_BYTES, "replication": 1,
            "owner": "emulator", "group": "emulator", "permission": "755" if stored is None else "644", "fileId": 0,
            "childrenNum": 0, "storagePolicy": 0}


def _answer(value: Any, status: int = 200) -> Response:
    # Without a Content-Type: to look at one, Hadoop's client takes classes that are not among Spark's jars.
    return Response(status, {}, json.dumps(value).encode())
