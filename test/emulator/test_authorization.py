"""Every way to be refused before the service looks at the request."""

import datetime
import unittest
from xml.etree import ElementTree

from client import BUCKET, TOKEN, TOKEN_ACCESS_KEY, TOKEN_SECRET_KEY, Client, EmulatorTest

BODY = b"{}"


class Athena(EmulatorTest):

    def check(self, headers, code, words, body=BODY):
        answer = self.client.send("POST", "/", headers, body)
        self.assertEqual((answer.status, answer.json["__type"]), (403, code), answer.body)
        self.assertIn(words, answer.json["Message"])
        self.assertIn("x-amzn-requestid", answer.headers)
        return answer

    def headers(self, **options):
        return self.client.athena_headers("ListEngineVersions", BODY, **options)

    def shifted(self, minutes):
        return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)

    def test_a_right_signature_is_accepted(self):
        self.assertEqual(self.client.send("POST", "/", self.headers(), BODY).status, 200)

    def test_no_authorization(self):
        headers = self.headers()
        del headers["authorization"]
        self.check(headers, "MissingAuthenticationTokenException", "Missing Authentication Token")

    def test_an_authorization_without_its_parts(self):
        headers = self.headers()
        headers["authorization"] = headers["authorization"].partition(", Signature=")[0]
        self.check(headers, "IncompleteSignatureException", "'Signature'")
        headers["authorization"] = "Basic eDp5"
        self.check(headers, "IncompleteSignatureException", "AWS4-HMAC-SHA256")

    def test_an_unknown_key(self):
        self.client.keys = ("AKIDOTHER", "secret", None)
        self.check(self.headers(), "UnrecognizedClientException", "The security token included in the request is invalid.")

    def test_a_wrong_secret(self):
        self.client.keys = (self.client.keys[0], "wrong", None)
        answer = self.check(self.headers(), "InvalidSignatureException", "does not match the signature you provided")
        self.assertIn("The Canonical String for this request should have been\n'POST\n/\n\n", answer.json["Message"])
        self.assertIn("The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n", answer.json["Message"])

    def test_another_body_than_the_one_signed(self):
        self.check(self.headers(), "InvalidSignatureException", "does not match", body=b'{"MaxResults": 1}')

    def test_a_time_that_is_past(self):
        self.check(self.headers(when=self.shifted(-6)), "InvalidSignatureException", "Signature expired: ")
        self.assertEqual(self.client.send("POST", "/", self.headers(when=self.shifted(-4)), BODY).status, 200)

    def test_a_time_to_come(self):
        self.check(self.headers(when=self.shifted(6)), "InvalidSignatureException", "Signature not yet current: ")

    def test_the_clock_of_the_emulator_can_be_shifted(self):
        self.settings(clock_offset_seconds=3600)
        answer = self.check(self.headers(), "InvalidSignatureException", "Signature expired: ")
        date = datetime.datetime.strptime(answer.headers["date"], "%a, %d %b %Y %H:%M:%S GMT")
        shift = date.replace(tzinfo=datetime.timezone.utc) - datetime.datetime.now(datetime.timezone.utc)
        self.assertAlmostEqual(shift.total_seconds(), 3600, delta=5)
        self.assertEqual(self.client.send("POST", "/", self.headers(when=self.shifted(60)), BODY).status, 200)

    def test_a_scope_for_something_else(self):
        self.client.region = "eu-west-1"
        self.check(self.headers(), "InvalidSignatureException", "valid region, not 'eu-west-1'")
        self.client.region = "us-east-1"
        self.check(self.headers(service="s3"), "InvalidSignatureException", "correct service: 'athena'")
        headers = self.headers()
        date = headers["x-amz-date"][:8]
        headers["authorization"] = headers["authorization"].replace("/%s/" % date, "/20200101/")
        self.check(headers, "InvalidSignatureException", "'20200101' != '%s'" % date)

    def test_headers_that_must_be_signed(self):
        for name in ("host", "content-type", "x-amz-target", "x-amz-date"):
            self.check(self.headers(unsigned=(name,)), "InvalidSignatureException", "'%s' must be a 'SignedHeader'" % name)

    def test_a_signed_header_that_was_not_sent(self):
        body_headers = self.client.sign("POST", "/", BODY, {"content-type": "application/x-amz-json-1.1", "extra": "1",
                                                            "x-amz-target": "AmazonAthena.ListEngineVersions"})
        del body_headers["extra"]
        self.check(body_headers, "IncompleteSignatureException", "extra")

    def test_a_date_that_is_none(self):
        headers = self.headers()
        headers["x-amz-date"] = "2026-01-01"
        self.check(headers, "IncompleteSignatureException", "ISO-8601")

    def test_a_token(self):
        self.client.keys = (TOKEN_ACCESS_KEY, TOKEN_SECRET_KEY, TOKEN)
        self.assertEqual(self.client.send("POST", "/", self.headers(), BODY).status, 200)
        invalid = ("UnrecognizedClientException", "The security token included in the request is invalid.")
        self.client.keys = (TOKEN_ACCESS_KEY, TOKEN_SECRET_KEY, TOKEN + "x")
        self.check(self.headers(), *invalid)
        self.client.keys = (TOKEN_ACCESS_KEY, TOKEN_SECRET_KEY, None)
        self.check(self.headers(), *invalid)
        self.client.keys = Client(self.emulator).keys[:2] + ("uncalled-for",)
        self.check(self.headers(), *invalid)

    def test_an_unsigned_token(self):
        self.client.keys = (TOKEN_ACCESS_KEY, TOKEN_SECRET_KEY, TOKEN)
        self.check(self.headers(unsigned=("x-amz-security-token",)), "InvalidSignatureException", "x-amz-security-token")

    def test_an_expired_token(self):
        self.settings(expired_access_keys=[TOKEN_ACCESS_KEY])
        self.client.keys = (TOKEN_ACCESS_KEY, TOKEN_SECRET_KEY, TOKEN)
        self.check(self.headers(), "ExpiredTokenException", "expired")


class S3(EmulatorTest):

    TARGET = "/%s/key" % BUCKET

    def check(self, answer, status, code):
        error = ElementTree.fromstring(answer.body)
        self.assertEqual((answer.status, error.findtext("Code")), (status, code), answer.body)
        self.assertEqual(error.findtext("RequestId"), answer.headers["x-amz-request-id"])
        return error

    def test_no_authorization(self):
        self.check(self.client.send("GET", self.TARGET, {"host": self.emulator.netloc}), 403, "AccessDenied")

    def test_an_unknown_key(self):
        self.client.keys = ("AKIDOTHER", "secret", None)
        error = self.check(self.client.s3("GET", self.TARGET), 403, "InvalidAccessKeyId")
        self.assertEqual(error.findtext("AWSAccessKeyId"), "AKIDOTHER")

    def test_a_wrong_secret(self):
        self.client.keys = (self.client.keys[0], "wrong", None)
        error = self.check(self.client.s3("GET", self.TARGET), 403, "SignatureDoesNotMatch")
        self.assertTrue(error.findtext("StringToSign").startswith("AWS4-HMAC-SHA256\n"))

    def test_a_time_that_is_past(self):
        when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=20)
        self.check(self.client.s3("GET", self.TARGET, when=when), 403, "RequestTimeTooSkewed")

    def test_another_region(self):
        self.client.region = "eu-west-1"
        answer = self.client.s3("GET", self.TARGET)
        self.assertEqual(self.check(answer, 400, "AuthorizationHeaderMalformed").findtext("Region"), "us-east-1")
        self.assertEqual(answer.headers["x-amz-bucket-region"], "us-east-1")

    def test_a_payload_hash_is_needed_and_must_be_right(self):
        headers = self.client.sign("GET", self.TARGET, service="s3", unsigned=("x-amz-content-sha256",))
        del headers["x-amz-content-sha256"]
        self.check(self.client.send("GET", self.TARGET, headers), 400, "InvalidRequest")
        headers = self.client.sign("PUT", self.TARGET, b"one", service="s3")
        self.check(self.client.send("PUT", self.TARGET, headers, b"two"), 400, "XAmzContentSHA256Mismatch")

    def test_an_unsigned_payload_is_refused_over_http(self):
        self.check(self.client.s3("PUT", self.TARGET, b"x", payload="UNSIGNED-PAYLOAD"), 400, "InvalidRequest")
        # Where there is none, none is unprotected.
        self.check(self.client.s3("GET", self.TARGET, payload="UNSIGNED-PAYLOAD"), 404, "NoSuchKey")

    def test_a_path_must_be_signed_as_it_was_sent(self):
        target = "/%s/a/../b" % BUCKET
        self.assertEqual(self.client.s3("PUT", target, b"x").status, 200)
        self.check(self.client.s3("GET", target, path_to_sign="/%s/b" % BUCKET), 403, "SignatureDoesNotMatch")


class Tls(EmulatorTest):

    OPTIONS = ("--tls",)

    def test_an_unsigned_payload_is_accepted_over_https(self):
        target = "/%s/key" % BUCKET
        self.assertEqual(self.client.s3("PUT", target, b"x", payload="UNSIGNED-PAYLOAD").status, 200)
        self.assertEqual(self.client.s3("GET", target).body, b"x")

    def test_a_session_over_https(self):
        self.assertEqual(self.output(self.run_code(self.start_session(), "print('over TLS')")), "over TLS\n")


if __name__ == "__main__":
    unittest.main()
