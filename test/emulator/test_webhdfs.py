"""Hadoop's view of the objects, without Hadoop: test_spark.py has that."""

import json
import tempfile
import unittest
from urllib.parse import quote, quote_plus

from emulator.errors import AwsError
from emulator.objects import ObjectStore
from emulator.webhdfs import WebHdfsService
from emulator.wire import Request


class WebHdfs(unittest.TestCase):

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.store = ObjectStore(directory.name)
        self.store.create_bucket("bucket", "us-east-1")
        self.service = WebHdfsService(self.store, "secret")

    def ask(self, method, path, operation, body=b"", secret="secret", **parameters):
        query = "".join("&%s=%s" % (name, quote_plus(value)) for name, value in parameters.items())
        request = Request(method, "/webhdfs/v1/%s/%s?op=%s%s" % (secret, quote(path), operation, query), [("host", "h:1")], body)
        try:
            self.service.verify(request, operation)
            return self.service.handle(self.service.operation_name(request), request)
        except AwsError as error:
            return self.service.refuse(error, request)

    def told(self, *arguments, **options):
        return json.loads(self.ask(*arguments, **options).body)

    def create(self, path, body=b"content"):
        self.assertEqual(self.ask("PUT", path, "CREATE", body, overwrite="true", written="").status, 201)

    def rename(self, path, destination):
        return self.told("PUT", path, "RENAME", destination="/secret/" + destination)["boolean"]

    def delete(self, path, recursive="true"):
        return self.told("DELETE", path, "DELETE", recursive=recursive)

    def exception(self, answer):
        return answer.status, json.loads(answer.body)["RemoteException"]["exception"]

    def names(self, path):
        return [(item["pathSuffix"], item["type"]) for item in self.told("GET", path, "LISTSTATUS")["FileStatuses"]["FileStatus"]]

    def keys(self):
        return [key for key, _ in self.store.listing("bucket", "", "", "", 100)[0]]

    def test_the_secret(self):
        self.assertEqual(self.exception(self.ask("GET", "", "LISTSTATUS", secret="guess")), (403, "AccessControlException"))

    def test_files(self):
        first = self.ask("PUT", "bucket/a b/\u00fc+%", "CREATE", overwrite="false")
        self.assertEqual((first.status, first.headers["Location"]), (
            307, "http://h:1/webhdfs/v1/secret/bucket/a%20b/%C3%BC%2B%25?op=CREATE&overwrite=false&written="))
        self.create("bucket/a b/\u00fc+%", b"0123456789")
        self.assertEqual(self.keys(), ["a b/\u00fc+%"])
        status = self.told("GET", "bucket/a b/\u00fc+%", "GETFILESTATUS")["FileStatus"]
        self.assertEqual((status["type"], status["length"], status["pathSuffix"]), ("FILE", 10, ""))
        for parameters, content in (({}, b"0123456789"), ({"offset": "4"}, b"456789"), ({"offset": "4", "length": "3"}, b"456"),
                                    ({"offset": "20"}, b"")):
            self.assertEqual(b"".join(self.ask("GET", "bucket/a b/\u00fc+%", "OPEN", **parameters).pieces()), content)
        self.assertEqual(self.exception(self.ask("PUT", "bucket/a b/\u00fc+%", "CREATE", overwrite="false")),
                         (403, "FileAlreadyExistsException"))
        self.assertEqual(self.exception(self.ask("PUT", "bucket/a b", "CREATE", overwrite="true")),
                         (403, "FileAlreadyExistsException"))
        for path in ("bucket/a b", "bucket/nothing", "nowhere/a"):
            self.assertEqual(self.exception(self.ask("GET", path, "OPEN")), (404, "FileNotFoundException"))
        self.assertEqual(self.exception(self.ask("POST", "bucket/a b/\u00fc+%", "APPEND")), (400, "UnsupportedOperationException"))

    def test_folders(self):
        for key in ("a/b/1", "a/2", "a//3", "a/./4", "a/../5", "a/c/", "a/2/6"):
            self.store.put("bucket", key, b"x")
        self.assertEqual(self.names(""), [("bucket", "DIRECTORY")])
        self.assertEqual(self.names("bucket"), [("a", "DIRECTORY")])
        # An object comes before a folder of its name.
        self.assertEqual(self.names("bucket/a"), [("2", "FILE"), ("b", "DIRECTORY"), ("c", "DIRECTORY")])
        self.assertEqual(self.names("bucket/a/c"), [])
        self.assertEqual(self.exception(self.ask("GET", "bucket/d", "LISTSTATUS")), (404, "FileNotFoundException"))
        self.assertTrue(self.told("PUT", "bucket/d/e", "MKDIRS")["boolean"])
        self.assertEqual(self.names("bucket/d"), [("e", "DIRECTORY")])
        self.assertEqual(self.exception(self.ask("PUT", "bucket/a/2/x", "MKDIRS")), (403, "FileAlreadyExistsException"))
        self.create("bucket/d/e/f")
        self.store.delete("bucket", "d/e/f")
        # Without what made it a folder it is none, whoever takes that away; Hadoop's own delete keeps it.
        self.assertEqual(self.ask("GET", "bucket/d", "GETFILESTATUS").status, 404)
        self.create("bucket/d/e/f")
        self.assertEqual(self.delete("bucket/d/e/f"), {"boolean": True})
        self.assertEqual(self.names("bucket/d/e"), [])
        self.service.clear()
        self.assertEqual(self.ask("GET", "bucket/d", "GETFILESTATUS").status, 404)
        self.assertEqual(self.delete("bucket/a/2"), {"boolean": True})
        self.assertEqual(self.names("bucket/a"), [("2", "DIRECTORY"), ("b", "DIRECTORY"), ("c", "DIRECTORY")])

    def test_rename_and_delete(self):
        for key in ("t/0/a", "t/0/b/c"):
            self.create("bucket/" + key)
        self.ask("PUT", "bucket/t/0/empty", "MKDIRS")
        self.assertTrue(self.rename("bucket/t/0", "bucket/x y+/z"))
        self.assertEqual(self.keys(), ["x y+/z/a", "x y+/z/b/c"])
        self.assertEqual(self.names("bucket/x y+/z"), [("a", "FILE"), ("b", "DIRECTORY"), ("empty", "DIRECTORY")])
        self.assertEqual(self.names("bucket/t"), [])
        # Into a folder that is there; not onto a file, nor into itself.
        self.assertTrue(self.rename("bucket/x y+/z/a", "bucket/t"))
        self.assertIn("t/a", self.keys())
        for path, destination in (("bucket/t/a", "bucket/x y+/z/b/c"), ("bucket/nothing", "bucket/n"),
                                  ("bucket/x y+", "bucket/x y+/z")):
            self.assertFalse(self.rename(path, destination))
        self.assertEqual(self.delete("bucket/x y+", recursive="false")["RemoteException"]["exception"],
                         "PathIsNotEmptyDirectoryException")
        self.assertEqual(self.delete("bucket/x y+"), {"boolean": True})
        self.assertEqual(self.delete("bucket/x y+"), {"boolean": False})
        self.assertEqual(self.keys(), ["t/a"])
        self.assertEqual(self.delete("bucket")["RemoteException"]["exception"], "AccessControlException")


if __name__ == "__main__":
    unittest.main()
