"""emulator/sigv4.py against AWS's official vectors, where they are at hand."""

import datetime
import hashlib
import json
import os
import unittest

from client import SHARED
from emulator import sigv4

VECTORS = os.path.join(SHARED, "vectors", "sigv4", "v4")


def read(case, name):
    with open(os.path.join(VECTORS, case, name), encoding="utf-8", newline="") as file:
        return file.read()


def parse(text):
    """Method, target, headers and body of a request.txt, whose header lines may be folded."""
    head, _, body = text.partition("\n\n")
    lines = head.split("\n")
    method, _, target = lines[0].rpartition(" ")[0].partition(" ")
    headers = []
    for line in filter(None, lines[1:]):
        if line[0] in " \t":
            headers[-1] = (headers[-1][0], headers[-1][1] + " " + line)
        else:
            name, _, value = line.partition(":")
            headers.append((name, value))
    return method, target, headers, body.encode()


@unittest.skipUnless(os.path.isdir(VECTORS), "no official SigV4 vectors at %s" % VECTORS)
class OfficialVectors(unittest.TestCase):

    def test_header_cases(self):
        cases = sorted(os.listdir(VECTORS))
        self.assertEqual(len(cases), 38)
        for case in cases:
            with self.subTest(case):
                self.check(case)

    def check(self, case):
        context = json.loads(read(case, "context.json"))
        method, target, headers, body = parse(read(case, "request.txt"))
        path, _, query = target.partition("?")
        time = datetime.datetime.strptime(context["timestamp"], "%Y-%m-%dT%H:%M:%SZ").strftime("%Y%m%dT%H%M%SZ")
        credentials = context["credentials"]
        headers.append(("X-Amz-Date", time))
        if credentials.get("token") and not context.get("omit_session_token"):
            headers.append(("X-Amz-Security-Token", credentials["token"]))
        payload = sigv4.EMPTY_SHA256
        if context["sign_body"]:
            payload = hashlib.sha256(body).hexdigest()
            headers.append(("x-amz-content-sha256", payload))
        signed = sorted({name.lower() for name, _ in headers})
        # The vectors' paths are not encoded yet, and are to be encoded once.
        uri = sigv4.canonical_uri_of_service(path) if context["normalize"] else sigv4.canonical_uri_of_s3(path)
        canonical = sigv4.canonical_request(method, uri, sigv4.canonical_query(query),
                                            sigv4.canonical_headers(headers, signed), signed, payload)
        self.assertEqual(canonical, read(case, "header-canonical-request.txt"))
        scope = (time[:8], context["region"], context["service"])
        text = sigv4.string_to_sign(time, "/".join(scope + ("aws4_request",)), canonical)
        self.assertEqual(text, read(case, "header-string-to-sign.txt"))
        key = sigv4.signing_key(credentials["secret_access_key"], *scope)
        self.assertEqual(sigv4.signature(key, text), read(case, "header-signature.txt"))


class Canonicalization(unittest.TestCase):

    def test_a_path_that_was_sent_encoded_counts_as_encoded_twice(self):
        self.assertEqual(sigv4.canonical_uri_of_service("/a%20b"), "/a%2520b")

    def test_a_path_of_s3_is_encoded_once_and_keeps_its_dots(self):
        self.assertEqual(sigv4.canonical_uri_of_s3("/b/../%6b+ %2F"), "/b/../k%2B%20%2F")

    def test_a_plus_in_a_query_is_no_space(self):
        self.assertEqual(sigv4.canonical_query("b=1+2&a&b=0"), "a=&b=0&b=1%2B2")


if __name__ == "__main__":
    unittest.main()
