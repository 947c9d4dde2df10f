"""Objects and buckets."""

import base64
import datetime
import hashlib
import http.client
import time
import unittest
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree

from client import BUCKET, Answer, EmulatorTest
from emulator import checksums, markup, s3

CONTENT = bytes(range(256)) * 4


class S3Test(EmulatorTest):

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


class Objects(S3Test):

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

    def test_a_body_without_its_length(self):
        target = "/%s/key" % BUCKET
        for header, status, code in (("Transfer-Encoding", 501, "NotImplemented"), (None, 411, "MissingContentLength")):
            connection = self.client.connect()
            self.addCleanup(connection.close)
            connection.putrequest("PUT", target, skip_host=True, skip_accept_encoding=True)
            for name, value in self.client.sign("PUT", target, b"", service="s3").items():
                connection.putheader(name, value)
            if header:
                connection.putheader(header, "chunked")
            connection.endheaders()
            if header:
                connection.send(b"0\r\n\r\n")
            self.error(Answer(connection.getresponse()), status, code)

    def test_conditional_reads_and_writes(self):
        target = self.put("key")
        head = self.client.s3("HEAD", target).headers
        for headers, status in (({"if-none-match": head["etag"]}, 304), ({"if-none-match": '"0"'}, 200),
                                ({"if-none-match": "*"}, 304), ({"if-match": '"0", %s' % head["etag"]}, 200),
                                ({"if-modified-since": head["last-modified"]}, 304),
                                ({"if-unmodified-since": head["last-modified"]}, 200),
                                ({"if-unmodified-since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 412),
                                ({"if-modified-since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 200)):
            for method in ("GET", "HEAD"):
                answer = self.client.send(method, target, self.client.sign(method, target, b"", headers, "s3"))
                self.assertEqual(answer.status, status, headers)
                if status == 304:
                    self.assertEqual((answer.body, answer.headers["etag"]), (b"", head["etag"]))
        self.error(self.client.s3("PUT", target, b"x", {"if-match": '"0"'}), 412, "PreconditionFailed")
        self.error(self.client.s3("PUT", target + "2", b"x", {"if-match": head["etag"]}), 404, "NoSuchKey")
        self.error(self.client.s3("PUT", target, b"x", {"if-none-match": head["etag"]}), 501, "NotImplemented")
        self.error(self.client.s3("DELETE", target, headers={"if-match": '"0"'}), 412, "PreconditionFailed")
        self.assertEqual(self.client.s3("GET", target).body, CONTENT)
        self.assertEqual(self.client.s3("PUT", target, b"x", {"if-match": head["etag"]}).status, 200)

    def test_algorithms(self):
        # The check values of the catalogue of CRC algorithms, and hashlib's own sums.
        for algorithm, value in (("crc32", "cbf43926"), ("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888"),
                                 ("sha1", hashlib.sha1(b"123456789").hexdigest()),
                                 ("sha256", hashlib.sha256(b"123456789").hexdigest())):
            header = "x-amz-checksum-" + algorithm
            value = base64.b64encode(bytes.fromhex(value)).decode()
            self.assertEqual(checksums.of_pieces(algorithm, (b"1234", b"56789")), value)
            put = self.client.s3("PUT", "/%s/key" % BUCKET, b"123456789", {header: value})
            self.assertEqual((put.status, put.headers[header]), (200, value))
            got = self.client.s3("GET", "/%s/key" % BUCKET, headers={"x-amz-checksum-mode": "ENABLED"})
            self.assertEqual((got.headers[header], got.headers["x-amz-checksum-type"]), (value, "FULL_OBJECT"))
            part = self.client.s3("GET", "/%s/key" % BUCKET, headers={"x-amz-checksum-mode": "ENABLED", "range": "bytes=1-2"})
            self.assertNotIn(header, part.headers)

    def test_large_contents_have_the_checksums_of_their_bytes(self):
        content = hashlib.sha256(b"").digest() * (3 << 14) + b"end"
        for algorithm in ("crc32c", "crc64nvme"):
            slow = checksums.ALGORITHMS[algorithm].make()
            for position in range(0, len(content), 1000):
                slow.update(content[position:position + 1000])
            for size in (1 << 10, 70001, len(content)):
                pieces = (content[position:position + size] for position in range(0, len(content), size))
                self.assertEqual(base64.b64decode(checksums.of_pieces(algorithm, pieces)), slow.digest())

    def test_checksums_that_are_wrong(self):
        target = "/%s/key" % BUCKET
        for headers, code in (({"x-amz-checksum-crc32": "AAAA"}, "InvalidRequest"), ({"content-md5": "AAAA"}, "InvalidDigest"),
                              ({"content-md5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
                              ({"x-amz-checksum-crc32": "NhCmhg==", "x-amz-checksum-sha1": "x"}, "InvalidRequest"),
                              ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest")):
            self.error(self.client.s3("PUT", target, b"hello", headers), 400, code)
        self.error(self.client.s3("GET", target), 404, "NoSuchKey")

    def test_regions(self):
        self.client.region = "eu-west-1"
        answer = self.client.s3("GET", "/%s/key" % BUCKET)
        error = self.error(answer, 400, "AuthorizationHeaderMalformed")
        self.assertEqual((error.findtext("Region"), answer.headers["x-amz-bucket-region"]), ("us-east-1", "us-east-1"))
        self.client.region = "us-east-1"
        body = b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
        self.assertEqual(self.client.s3("PUT", "/elsewhere", body).status, 200)
        answer = self.client.s3("PUT", "/elsewhere/key", b"x")
        self.error(answer, 301, "PermanentRedirect")
        self.assertEqual(answer.headers["x-amz-bucket-region"], "eu-west-1")
        self.assertIn(b">eu-west-1</LocationConstraint>", self.client.s3("GET", "/elsewhere?location").body)
        self.client.region = "eu-west-1"
        self.assertEqual(self.client.s3("PUT", "/elsewhere/key", b"x").status, 200)
        self.client.region = "eu-north-1"
        error = self.error(self.client.s3("GET", "/elsewhere/key"), 400, "AuthorizationHeaderMalformed")
        self.assertEqual(error.findtext("Region"), "eu-west-1")

    def test_lists(self):
        for key in ("z", "a/1", "a/2/3", "b", "\U0001F600", "\uFFFD", "a b+c", "control\x01"):
            self.put(key, b"x")

        def names(query):
            answer = self.client.s3("GET", "/%s?list-type=2&encoding-type=url&%s" % (BUCKET, query))
            root = markup.parsed(answer.body, "ListBucketResult")
            self.assertEqual(int(root.findtext("KeyCount")), len(root.findall("Contents")) + len(root.findall("CommonPrefixes")))
            found = [unquote_plus(item.findtext("Key")) for item in root.findall("Contents")]
            return found, [item.findtext("Prefix") for item in root.findall("CommonPrefixes")], root

        # In the order of the bytes, which is not that of UTF-16.
        self.assertEqual(names("")[0], ["a b+c", "a/1", "a/2/3", "b", "control\x01", "z", "\uFFFD", "\U0001F600"])
        self.assertEqual(names("delimiter=%2F")[:2], (["a b+c", "b", "control\x01", "z", "\uFFFD", "\U0001F600"], ["a/"]))
        self.assertEqual(names("prefix=a%2F&delimiter=%2F")[:2], (["a/1"], ["a/2/"]))
        self.assertEqual(names("start-after=b&max-keys=1")[0], ["control\x01"])
        self.assertEqual(names("max-keys=0")[0], [])
        first = names("delimiter=%2F&max-keys=2")
        self.assertEqual((first[:2], first[2].findtext("IsTruncated")), ((["a b+c"], ["a/"]), "true"))
        token = quote(first[2].findtext("NextContinuationToken"), safe="")
        second = names("delimiter=%2F&max-keys=9&continuation-token=" + token)
        self.assertEqual((second[0][0], second[1], second[2].findtext("IsTruncated")), ("b", [], "false"))
        for query in ("continuation-token=%21", "max-keys=-1", "encoding-type=x"):
            self.error(self.client.s3("GET", "/%s?list-type=2&%s" % (BUCKET, query)), 400, "InvalidArgument")
        self.error(self.client.s3("GET", "/nowhere?list-type=2"), 404, "NoSuchBucket")

    def test_delete_objects(self):
        self.put("a")
        target = "/%s?delete" % BUCKET
        body = b"<Delete><Object><Key>a</Key></Object><Object><Key>not there</Key></Object></Delete>"
        self.error(self.client.s3("POST", target, body), 400, "InvalidRequest")
        md5 = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
        deleted = markup.parsed(self.client.s3("POST", target, body, md5).body, "DeleteResult")
        self.assertEqual([item.findtext("Key") for item in deleted.findall("Deleted")], ["a", "not there"])
        body = b"<Delete/>"
        md5 = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
        self.error(self.client.s3("POST", target, body, md5), 400, "MalformedXML")

    def test_another_owner(self):
        target = self.put("key")
        self.error(self.client.s3("GET", target, headers={"x-amz-expected-bucket-owner": "1" * 12}), 403, "AccessDenied")
        self.assertEqual(self.client.s3("GET", target, headers={"x-amz-expected-bucket-owner": "123456789012"}).status, 200)

    def test_what_is_not_implemented(self):
        for target in ("/" + BUCKET, "/%s/key" % BUCKET):
            self.error(self.client.s3("GET", target + "?acl"), 501, "NotImplemented")


class Uploads(S3Test):

    PART = bytes(5 * 1024 * 1024)

    def setUp(self):
        super().setUp()
        self.target = "/%s/large" % BUCKET
        self.upload = self.begin()

    def begin(self, **headers):
        answer = self.client.s3("POST", self.target + "?uploads", headers={
            name.replace("_", "-"): value for name, value in headers.items()})
        return markup.parsed(answer.body, "InitiateMultipartUploadResult").findtext("UploadId")

    def part(self, number, content, headers=None):
        answer = self.client.s3("PUT", "%s?partNumber=%s&uploadId=%s" % (self.target, number, self.upload), content, headers)
        return answer.headers["etag"] if answer.status == 200 else answer

    def complete(self, *parts, headers=None):
        """parts: (number, ETag), and after them, where it is stated, the part's CRC32."""
        body = "<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % "".join(
            "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag>%s</Part>" % (number, etag, "".join(
                "<ChecksumCRC32>%s</ChecksumCRC32>" % item for item in value)) for number, etag, *value in parts)
        return self.client.s3("POST", "%s?uploadId=%s" % (self.target, self.upload), body.encode(), headers)

    def test_an_upload(self):
        first, last = self.part(1, self.PART), self.part(7, b"end")
        self.error(self.client.s3("GET", self.target), 404, "NoSuchKey")
        listed = markup.parsed(self.client.s3("GET", "%s?uploadId=%s&max-parts=1" % (self.target, self.upload)).body,
                               "ListPartsResult")
        self.assertEqual((listed.findtext("Part/ETag"), listed.findtext("IsTruncated"),
                          listed.findtext("NextPartNumberMarker")), (first, "true", "1"))
        done = markup.parsed(self.complete((1, first), (7, last)).body, "CompleteMultipartUploadResult")
        digests = hashlib.md5(self.PART).digest() + hashlib.md5(b"end").digest()
        self.assertEqual(done.findtext("ETag"), '"%s-2"' % hashlib.md5(digests).hexdigest())
        got = self.client.s3("GET", self.target)
        self.assertEqual((got.body, got.headers["etag"]), (self.PART + b"end", done.findtext("ETag")))
        self.error(self.complete((1, first)), 404, "NoSuchUpload")

    def test_uploads_that_are_refused(self):
        small, last = self.part(1, b"small"), self.part(2, b"end")
        error = self.error(self.complete((1, small), (2, last)), 400, "EntityTooSmall")
        self.assertEqual((error.findtext("ProposedSize"), error.findtext("PartNumber")), ("5", "1"))
        self.error(self.complete((2, last), (1, small)), 400, "InvalidPartOrder")
        self.error(self.complete((1, small), (1, small)), 400, "InvalidPartOrder")
        self.error(self.complete((1, last)), 400, "InvalidPart")
        self.error(self.complete((3, last)), 400, "InvalidPart")
        self.error(self.complete(), 400, "MalformedXML")
        for number in ("0", "10001", "x", ""):
            self.error(self.part(number, b"x"), 400, "InvalidArgument")
        self.put("large", b"present")
        self.error(self.complete((1, small), headers={"if-none-match": "*"}), 412, "PreconditionFailed")
        self.assertEqual(self.client.s3("GET", self.target).body, b"present")
        self.assertEqual(self.complete((1, small)).status, 200)

    def test_an_upload_that_is_given_up(self):
        self.part(1, b"x")
        target = "%s?uploadId=%s" % (self.target, self.upload)
        self.assertEqual(self.client.s3("DELETE", target).status, 204)
        self.error(self.client.s3("DELETE", target), 404, "NoSuchUpload")
        self.error(self.part(1, b"x"), 404, "NoSuchUpload")

    def test_checksums_of_uploads(self):
        for kind, wanted in (("COMPOSITE", lambda a, b: checksums.composite("crc32", [a, b])),
                             ("FULL_OBJECT", lambda a, b: checksums.of_pieces("crc32", (self.PART, b"end")))):
            self.upload = self.begin(x_amz_checksum_algorithm="CRC32", x_amz_checksum_type=kind)
            sums = [checksums.of_pieces("crc32", (content,)) for content in (self.PART, b"end")]
            parts = [(number, self.part(number, content, {"x-amz-checksum-crc32": value}), value)
                     for number, content, value in zip((1, 2), (self.PART, b"end"), sums)]
            self.error(self.part(2, b"end", {"x-amz-checksum-sha1": base64.b64encode(hashlib.sha1(b"end").digest()).decode()}),
                       400, "InvalidRequest")
            self.error(self.complete(*parts, headers={"x-amz-checksum-crc32": "AAAAAA=="}), 400, "BadDigest")
            self.error(self.complete((1, parts[0][1], "AAAAAA=="), parts[1]), 400, "InvalidPart")
            other = {"COMPOSITE": "FULL_OBJECT", "FULL_OBJECT": "COMPOSITE"}[kind]
            self.error(self.complete(*parts, headers={"x-amz-checksum-type": other}), 400, "InvalidRequest")
            if kind == "COMPOSITE":
                # Nobody but the client knows what the parts should be.
                self.error(self.part(2, b"end"), 400, "InvalidRequest")
                self.error(self.complete(parts[0], parts[1][:2]), 400, "InvalidRequest")
            self.assertEqual(self.complete(*parts).status, 200)
            got = self.client.s3("GET", self.target, headers={"x-amz-checksum-mode": "ENABLED"})
            self.assertEqual((got.headers["x-amz-checksum-crc32"], got.headers["x-amz-checksum-type"]), (wanted(*sums), kind))
            # A range that is the whole or one part has its checksum, any other has none.
            size = len(self.PART)
            for span, value in (("0-", wanted(*sums).partition("-")[0]), ("0-%d" % (size - 1), sums[0]), ("%d-" % size, sums[1]),
                                ("1-", None), ("%d-" % (size + 1), None), ("0-%d" % size, None)):
                got = self.client.s3("GET", self.target, headers={"x-amz-checksum-mode": "ENABLED", "range": "bytes=" + span})
                self.assertEqual((got.status, got.headers.get("x-amz-checksum-crc32")), (206, value), span)

    def test_a_part_without_its_own_checksum_in_the_whole_ones(self):
        self.upload = self.begin(x_amz_checksum_algorithm="CRC32", x_amz_checksum_type="FULL_OBJECT")
        self.assertEqual(self.complete((1, self.part(1, b"123456789"))).status, 200)
        got = self.client.s3("GET", self.target, headers={"x-amz-checksum-mode": "ENABLED"})
        self.assertEqual(got.headers["x-amz-checksum-crc32"], checksums.of_pieces("crc32", (b"123456789",)))

    def test_default_checksums(self):
        self.settings(default_checksums=True)
        value = checksums.of_pieces("crc64nvme", (b"123456789",))
        self.assertEqual(self.client.s3("PUT", "/%s/key" % BUCKET, b"123456789").headers["x-amz-checksum-crc64nvme"], value)
        self.assertEqual(self.complete((1, self.part(1, b"123456789"))).status, 200)
        for target in ("/%s/key" % BUCKET, self.target):
            got = self.client.s3("GET", target, headers={"x-amz-checksum-mode": "ENABLED"})
            self.assertEqual((got.headers["x-amz-checksum-crc64nvme"], got.headers["x-amz-checksum-type"]), (value, "FULL_OBJECT"))

    def test_a_list_of_uploads(self):
        def listed(query=""):
            answer = markup.parsed(self.client.s3("GET", "/%s?uploads%s" % (BUCKET, query)).body, "ListMultipartUploadsResult")
            return [(item.findtext("Key"), item.findtext("UploadId")) for item in answer.findall("Upload")], answer

        first = self.upload
        second = self.begin(x_amz_checksum_algorithm="SHA256")
        self.target = "/%s/a%%20key" % BUCKET
        third = self.begin()
        everything = [("a key", third), ("large", first), ("large", second)]
        found, answer = listed()
        self.assertEqual((found, answer.findtext("IsTruncated")), (everything, "false"))
        self.assertEqual(answer.findall("Upload")[2].findtext("ChecksumAlgorithm"), "SHA256")
        found, answer = listed("&max-uploads=2")
        self.assertEqual((found, answer.findtext("IsTruncated")), (everything[:2], "true"))
        found, answer = listed("&key-marker=%s&upload-id-marker=%s" % (answer.findtext("NextKeyMarker"),
                                                                     answer.findtext("NextUploadIdMarker")))
        self.assertEqual((found, answer.findtext("IsTruncated")), (everything[2:], "false"))
        self.assertEqual(listed("&key-marker=large")[0], [])
        self.assertEqual(listed("&prefix=a")[0], everything[:1])
        self.client.s3("DELETE", "%s?uploadId=%s" % (self.target, third))
        self.assertEqual(listed()[0], everything[1:])
        self.error(self.client.s3("GET", "/%s?uploads&delimiter=x" % BUCKET), 501, "NotImplemented")
        self.error(self.client.s3("GET", "/no-bucket?uploads"), 404, "NoSuchBucket")

    def test_a_part_that_is_lost(self):
        self.faults({"operation": "S3.UploadPart", "contains": "partNumber=2", "lose": True})
        first, second = self.part(1, self.PART), self.part(2, b"end")
        self.error(self.complete((1, first), (2, second)), 400, "InvalidPart")
        self.assertEqual(self.part(2, b"end"), second)
        self.assertEqual(self.complete((1, first), (2, second)).status, 200)

    def test_a_completion_that_fails_with_200(self):
        self.faults({"operation": "S3.CompleteMultipartUpload", "error": "InternalError", "message": "Try again.", "status": 200})
        etag = self.part(1, b"x")
        self.error(self.complete((1, etag)), 200, "InternalError")
        self.assertEqual(self.complete((1, etag)).status, 200)

    def test_a_completion_that_takes_its_time(self):
        self.faults({"operation": "S3.CompleteMultipartUpload", "processing": {"spaces": 3, "interval": 0.1}})
        began = time.monotonic()
        answer = self.complete((1, self.part(1, b"x")))
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        self.assertRegex(answer.body, rb"^<\?xml [^>]*\?>   \n<CompleteMultipartUploadResult")
        self.assertEqual(markup.parsed(answer.body, "CompleteMultipartUploadResult").findtext("Key"), "large")


class ObjectFaults(S3Test):

    def setUp(self):
        super().setUp()
        self.target = self.put("key", x_amz_checksum_crc32=checksums.of_pieces("crc32", (CONTENT,)))

    def get(self, **headers):
        return self.client.s3("GET", self.target, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def test_an_object_that_changes_between_two_requests(self):
        self.faults({"operation": "S3.GetObject", "skip": 1, "replace": "another"})
        etag = self.get().headers["etag"]
        self.error(self.get(if_match=etag, range="bytes=5-"), 412, "PreconditionFailed")
        self.assertEqual(self.get().body, b"another")
        self.faults({"operation": "S3.GetObject", "replace_base64": "/wA="})
        got = self.get()
        self.assertEqual((got.body, got.headers["content-type"]), (b"\xff\x00", "binary/octet-stream"))
        # There is nothing to replace.
        self.client.s3("DELETE", self.target)
        self.faults({"operation": "S3.GetObject", "replace": "another"})
        self.error(self.get(), 404, "NoSuchKey")

    def test_a_transfer_taken_up_again(self):
        self.faults({"operation": "S3.GetObject", "cut_body": "random", "times": 5}, {"operation": "S3.GetObject"})
        etag = self.client.send("HEAD", self.target, self.client.sign("HEAD", self.target, service="s3")).headers["etag"]
        got, positions = b"", []
        while len(got) < len(CONTENT):
            positions.append(len(got))
            connection = self.client.connect()
            headers = self.client.sign("GET", self.target, b"", {"range": "bytes=%d-" % len(got), "if-match": etag}, "s3")
            connection.request("GET", self.target, headers=headers)
            response = connection.getresponse()
            self.assertEqual(response.getheader("content-range"), "bytes %d-1023/1024" % len(got))
            try:
                got += response.read()
            except http.client.IncompleteRead as error:
                got += error.partial
            connection.close()
        self.assertEqual((got, len(positions)), (CONTENT, 6))

    def test_wrong_checksums_and_lengths(self):
        self.faults({"operation": "S3.GetObject", "set_headers": {"x-amz-checksum-crc32": "AAAAAA=="}},
                    {"operation": "S3.GetObject", "set_headers": {"Content-Length": "2000"}, "close": True})
        got = self.get(x_amz_checksum_mode="ENABLED")
        self.assertEqual((got.body, got.headers["x-amz-checksum-crc32"]), (CONTENT, "AAAAAA=="))
        with self.assertRaises(http.client.IncompleteRead):
            self.get()

    def test_a_large_object_is_cut_without_being_read(self):
        content = bytes(32 * 1024 * 1024)
        self.put("large", content)
        self.faults({"operation": "S3.GetObject", "contains": "large", "cut_body": 20 * 1024 * 1024 + 1},
                    {"operation": "S3.GetObject", "contains": "large", "drip_body": {"bytes": 4 * 1024 * 1024, "interval": 0.05}})
        self.target = "/%s/large" % BUCKET
        with self.assertRaises(http.client.IncompleteRead) as raised:
            self.get()
        self.assertEqual(len(raised.exception.partial), 20 * 1024 * 1024 + 1)
        self.client.close()
        began = time.monotonic()
        self.assertEqual(self.get().body, content)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)


if __name__ == "__main__":
    unittest.main()
