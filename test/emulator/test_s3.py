"""Objects and buckets."""

import datetime
import hashlib
import unittest
from urllib.parse import quote
from xml.etree import ElementTree

from client import BUCKET, EmulatorTest
from emulator import s3

CONTENT = bytes(range(256)) * 4


class Objects(EmulatorTest):

    def put(self, key, content=CONTENT, **headers):
        target = "/%s/%s" % (BUCKET, quote(key, safe="/~"))
        answer = self.client.s3("PUT", target, content, {name.replace("_", "-"): value for name, value in headers.items()})
        self.assertEqual(answer.status, 200, answer.body)
        return target

    def error(self, answer, status, code):
        error = ElementTree.fromstring(answer.body)
        self.assertEqual((answer.status, error.findtext("Code"), answer.headers["content-type"]),
                         (status, code, "application/xml"))
        return error

    def test_put_get_head_delete(self):
        target = self.put("folder/key", content_type="text/csv", x_amz_meta_color="blue")
        got = self.client.s3("GET", target)
        self.assertEqual((got.status, got.body), (200, CONTENT))
        self.assertEqual(got.headers["etag"], '"%s"' % hashlib.md5(CONTENT).hexdigest())
        self.assertEqual(got.headers["content-type"], "text/csv")
        self.assertEqual(got.headers["x-amz-meta-color"], "blue")
        self.assertEqual(got.headers["accept-ranges"], "bytes")
        self.assertTrue(got.headers["x-amz-request-id"] and got.headers["x-amz-id-2"])
        datetime.datetime.strptime(got.headers["last-modified"], "%a, %d %b %Y %H:%M:%S GMT")
        headers = self.client.sign("HEAD", target, service="s3")
        head = self.client.send("HEAD", target, headers)
        self.assertEqual((head.status, head.headers["content-length"], head.body), (200, str(len(CONTENT)), b""))
        self.assertEqual(self.client.s3("DELETE", target).status, 204)
        self.assertEqual(self.client.s3("DELETE", target).status, 204)
        self.assertEqual(self.error(self.client.s3("GET", target), 404, "NoSuchKey").findtext("Key"), "folder/key")
        self.assertEqual(self.client.s3("HEAD", target).status, 404)

    def test_ranges(self):
        target = self.put("key")
        last = len(CONTENT) - 1
        for header, first, end in (("bytes=0-0", 0, 0), ("bytes=5-9", 5, 9), ("bytes=1000-", 1000, last),
                                   ("bytes=-3", last - 2, last), ("bytes=1000-99999", 1000, last),
                                   ("bytes=-99999", 0, last)):
            got = self.client.s3("GET", target, headers={"range": header})
            self.assertEqual((got.status, got.body), (206, CONTENT[first:end + 1]), header)
            self.assertEqual(got.headers["content-range"], "bytes %d-%d/%d" % (first, end, len(CONTENT)))
            self.assertEqual(got.headers["content-length"], str(end - first + 1))
        for header in ("bytes=1024-", "bytes=5000-6000", "bytes=-0"):
            error = self.error(self.client.s3("GET", target, headers={"range": header}), 416, "InvalidRange")
            self.assertEqual(error.findtext("ActualObjectSize"), str(len(CONTENT)))
        for header in ("bytes=9-5", "bytes=0-1,3-4", "lines=1-2", "bytes=-"):
            self.assertEqual(self.client.s3("GET", target, headers={"range": header}).status, 200, header)
        self.put("empty", b"")
        self.error(self.client.s3("GET", "/%s/empty" % BUCKET, headers={"range": "bytes=0-"}), 416, "InvalidRange")
        self.assertEqual(self.client.s3("GET", "/%s/empty" % BUCKET).body, b"")

    def test_keys(self):
        keys = ["../escape", "a/../b", "/leading", "a//b", "space and +plus", "ünï✓", "100%", "a&b=c?d#e", "~-_.", "x" * 1024]
        for key in keys:
            self.put(key, key.encode())
        for key in keys:
            self.assertEqual(self.client.s3("GET", "/%s/%s" % (BUCKET, quote(key, safe="/~"))).body, key.encode())
        self.error(self.client.s3("PUT", "/%s/%s" % (BUCKET, "x" * 1025)), 400, "KeyTooLongError")
        self.error(self.client.s3("PUT", "/%s/%%FF" % BUCKET), 400, "InvalidURI")

    def test_the_bucket_in_the_host(self):
        self.put("some key", b"here")
        for host, bucket in (("%s.s3.localhost:1" % BUCKET, BUCKET), ("my.bucket.s3.us-east-1.amazonaws.com", "my.bucket"),
                             ("s3.localhost", None), ("127.0.0.1:80", None), ("localhost", None), ("[::1]", None),
                             ("my.s3.bucket.s3.localhost", "my.s3.bucket")):
            self.assertEqual(s3.bucket_of_host(host), bucket)
        self.assertEqual(self.client.s3("GET", "/some%20key", host=BUCKET + ".s3.localhost:80").body, b"here")

    def test_buckets(self):
        self.error(self.client.s3("GET", "/other-bucket/key"), 404, "NoSuchBucket")
        self.error(self.client.s3("PUT", "/other-bucket/key", b"x"), 404, "NoSuchBucket")
        self.assertEqual(self.client.s3("HEAD", "/other-bucket").status, 404)
        self.assertEqual(self.client.s3("PUT", "/other-bucket").status, 200)
        self.assertEqual(self.client.s3("HEAD", "/other-bucket").status, 200)
        self.assertEqual(self.client.s3("PUT", "/other-bucket/key", b"x").status, 200)
        self.error(self.client.s3("PUT", "/No_Bucket"), 400, "InvalidBucketName")

    def test_conditions(self):
        target = self.put("key")
        etag = self.client.s3("HEAD", target).headers["etag"]
        self.assertEqual(self.client.s3("GET", target, headers={"if-match": etag}).status, 200)
        self.error(self.client.s3("GET", target, headers={"if-match": '"0"'}), 412, "PreconditionFailed")
        self.error(self.client.s3("PUT", target, b"x", {"if-none-match": "*"}), 412, "PreconditionFailed")
        self.assertEqual(self.client.s3("PUT", target + "2", b"x", {"if-none-match": "*"}).status, 200)

    def test_checksums(self):
        target = self.put("key", b"hello", x_amz_checksum_crc32="NhCmhg==")
        got = self.client.s3("GET", target, headers={"x-amz-checksum-mode": "ENABLED"})
        self.assertEqual(got.headers["x-amz-checksum-crc32"], "NhCmhg==")
        answer = self.client.s3("PUT", target, b"hellO", {"x-amz-checksum-crc32": "NhCmhg=="})
        self.error(answer, 400, "BadDigest")

    def test_a_chunked_body_and_an_invitation(self):
        target = "/%s/key" % BUCKET
        headers = self.client.sign("PUT", target, b"hello world", service="s3")
        connection = self.client.connection
        connection.putrequest("PUT", target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        connection.sock.settimeout(5)
        self.assertEqual(connection.sock.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.send(b"6\r\nhello \r\n5;extension=1\r\nworld\r\n0\r\ntrailer: x\r\n\r\n")
        response = connection.getresponse()
        response.read()
        self.assertEqual(response.status, 200)
        self.assertEqual(self.client.s3("GET", target).body, b"hello world")

    def test_what_is_not_implemented(self):
        self.error(self.client.s3("DELETE", "/" + BUCKET), 501, "NotImplemented")


if __name__ == "__main__":
    unittest.main()
