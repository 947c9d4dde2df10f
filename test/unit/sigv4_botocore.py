#!/usr/bin/env python3
"""Holds the signer against botocore's: 2,000 random requests, the same ones each time.

Usage: sigv4_botocore.py DRIVER [COUNT]

DRIVER is the built sigv4_driver.c. For each request the canonical request, the string to sign and the
Authorization header must be those of botocore's SigV4Auth or S3SigV4Auth, to the byte. Results come
in TAP; without botocore there is nothing to compare with, and all is skipped.

The requests keep to what botocore and the specification both define. Left out, where they differ:

- A query inside the URL: botocore sorts it and does not encode it anew, so it depends on the caller's
  spelling. It gets the parameters decoded here; the driver gets them in a spelling of the caller's.
- A parameter with neither name nor value ("a=1&&b=2"): botocore never makes one.
- A path whose last segment is a dot segment: botocore drops "/." and "/.." with their slash, RFC 3986
  keeps it. For S3, which signs the path as it is, there are such paths.
- White space beyond ASCII's, and the separators U+001C to U+001F, in a header's value: Python's
  str.split() takes them for white space, HTTP does not.
- Headers that botocore sets or leaves out itself (Date, Connection, User-Agent and their like).
"""

import calendar
import json
import random
import subprocess
import sys
import time

try:
    from botocore.auth import SIGNED_HEADERS_BLACKLIST, S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    print("1..0 # SKIP botocore is not importable")
    sys.exit(0)

SEED = 20150830
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
TOKEN = "!#$%&'*+-.^_`|~" + UNRESERVED[:62]  # what a header's name is made of
BEYOND_ASCII = "äÖßéñçłżšğİıſΑΩжяЖאبहगㄱ한漢字\u200b\ufffd\uffff\U0001f600\U0001d11e\U0010ffff"
SET_BY_SIGNER = {"host", "date", "authorization", "content-md5"} | set(SIGNED_HEADERS_BLACKLIST)


class Generator:
    """Random requests, and the credentials and days that some of them share."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.known_credentials = [self.new_credentials() for _ in range(6)]
        # Neighbours across midnight: a key that is kept too long shows.
        self.known_times = [1440938160, 1440938161, 1440979199, 1440979200]

    def chance(self, probability):
        return self.random.random() < probability

    def text(self, alphabet, shortest, longest):
        return "".join(self.random.choices(alphabet, k=self.random.randint(shortest, longest)))

    def any_text(self, shortest, longest, extra=""):
        alphabet = PRINTABLE + extra
        return self.text(alphabet + BEYOND_ASCII if self.chance(0.3) else alphabet, shortest, longest)

    def new_credentials(self):
        return {
            "access_key": self.text(PRINTABLE, 1, 24),
            "secret_key": self.any_text(1, 100, " "),
            "token": self.text(PRINTABLE, 1, 400) if self.chance(0.5) else None,
        }

    def endpoint(self):
        scheme = self.random.choice(["http", "https"])
        host = self.random.choice(
            [
                "athena.us-east-1.amazonaws.com",
                "Bucket.S3.EU-Central-1.amazonaws.com",
                "localhost",
                "127.0.0.1",
                "[::1]",
                "[FD00:ec2::23]",
                self.text(UNRESERVED[:62], 1, 20) + ".example",
            ]
        )
        port = self.random.choice(["", "", "", ":80", ":443", ":4566", ":65535"])
        return f"{scheme}://{host}{port}"

    def path(self, s3):
        segments = []
        for _ in range(self.random.choice([0, 0, 1, 2, 3, 5, 9])):
            kind = self.random.random()
            if kind < 0.1:
                segments.append("")
            elif kind < 0.2:
                segments.append(".")
            elif kind < 0.3:
                segments.append("..")
            elif kind < 0.5:
                segments.append(self.text(UNRESERVED, 1, 12))
            elif kind < 0.7:
                segments.append("".join(f"%{self.random.randrange(256):02X}" for _ in range(4)))
            else:
                # Raw, as no client should send it: what is signed is defined all the same.
                raw = self.any_text(1, 12, " ")
                segments.append(raw.replace("?", "").replace("#", "").replace("/", "") + "x")
        if not s3 and segments and segments[-1] in (".", ".."):
            segments[-1] += "x"
        return "/" + "/".join(segments) + ("/" if self.chance(0.3) else "")

    def parameters(self):
        names = [self.any_text(1, 8, " ") for _ in range(4)] + ["", "a", "a-", "a ", "A"]
        parameters = []
        for _ in range(self.random.choice([0, 0, 1, 2, 5, 12])):
            name = self.random.choice(names)
            value = self.any_text(0, 10, " /") if self.chance(0.8) else ""
            parameters.append((name, value))
        return parameters

    def spelled(self, text, raw):
        """A part of a query in any of its spellings; the characters of `raw` may stand for themselves."""
        result = ""
        for character in text:
            if character in raw and self.chance(0.7):
                result += character
            else:
                form = self.random.choice(["%{:02x}", "%{:02X}"])
                result += "".join(form.format(byte) for byte in character.encode())
        return result

    def query(self, parameters):
        if not parameters:
            return self.random.choice([None, ""])
        everything = PRINTABLE + BEYOND_ASCII + " "
        name_raw = "".join(c for c in everything if c not in "%&=")
        value_raw = "".join(c for c in everything if c not in "%&")
        pairs = []
        for name, value in parameters:
            pair = self.spelled(name, name_raw) + "=" + self.spelled(value, value_raw)
            pairs.append(pair[:-1] if name and not value and self.chance(0.5) else pair)
        return "&".join(pairs)

    def header_value(self):
        value = self.any_text(0, 30, " " * 20 + "\t" * 5)
        return self.random.choice(["", " ", "\t ", "   "]) + value + self.random.choice(["", " ", " \t"])

    def headers(self):
        headers = []
        for _ in range(self.random.choice([0, 1, 2, 4, 8])):
            name = self.text(TOKEN, 1, 15)
            if headers and self.chance(0.3):
                name = self.random.choice(headers)[0].swapcase()
            if name.lower() not in SET_BY_SIGNER:
                headers.append([name, self.header_value()])
        return headers

    def request(self):
        s3 = self.chance(0.5)
        parameters = self.parameters()
        known = self.chance(0.8)
        credentials = self.random.choice(self.known_credentials) if known else self.new_credentials()
        if self.chance(0.8):
            seconds = self.random.choice(self.known_times)
        else:
            seconds = self.random.randint(0, calendar.timegm((9999, 12, 31, 23, 59, 59)))
        request = {
            "method": self.random.choice(["GET", "POST", "PUT", "DELETE", "HEAD"]),
            "endpoint": self.endpoint(),
            "path": self.path(s3),
            "query": self.query(parameters),
            "headers": self.headers(),
            "body": self.any_text(0, 200, " \n") if self.chance(0.6) else "",
            "region": self.random.choice(["us-east-1", "eu-central-1", "us-gov-west-1"]),
            "service": "s3" if s3 else self.random.choice(["athena", "sts", "service"]),
            "time": seconds,
            "s3": s3,
            **credentials,
        }

        # Without a hash of the body: only over https, and for S3 only where a checksum comes along.
        unsigned = request["endpoint"].startswith("https:") and self.chance(0.2)
        if unsigned and s3:
            request["headers"].append(["Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="])
        return request, parameters, unsigned


def sign_with_botocore(request, parameters, unsigned):
    """The three stages, as SigV4Auth.add_auth goes through them with the clock at request["time"]."""
    credentials = Credentials(request["access_key"], request["secret_key"], request["token"])
    signer = (S3SigV4Auth if request["s3"] else SigV4Auth)(
        credentials, request["service"], request["region"]
    )
    aws_request = AWSRequest(
        method=request["method"],
        url=request["endpoint"] + request["path"],
        data=request["body"].encode(),
        params=parameters,
    )
    for name, value in request["headers"]:
        aws_request.headers.add_header(name, value)
    aws_request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(request["time"]))
    if unsigned and request["s3"]:
        aws_request.context["has_streaming_input"] = True
    elif unsigned:
        aws_request.context["payload_signing_enabled"] = False
    signer._modify_request_before_signing(aws_request)
    canonical_request = signer.canonical_request(aws_request)
    string_to_sign = signer.string_to_sign(aws_request, canonical_request)
    signature = signer.signature(string_to_sign, aws_request)
    signer._inject_signature_to_request(aws_request, signature)
    return [canonical_request, string_to_sign, aws_request.headers["Authorization"]]


def driver_line(request, unsigned, escaped):
    """What the driver is to sign: all that is sent, a header for the payload's hash included."""
    request = dict(request)
    if unsigned:
        request["payload_hash"] = "UNSIGNED-PAYLOAD"
        if not request["s3"]:
            request["headers"] = request["headers"] + [["X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD"]]
    return json.dumps(request, ensure_ascii=escaped).encode() + b"\n"


def main():
    driver = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    generator = Generator(SEED)
    requests = [generator.request() for _ in range(count)]
    lines = [
        driver_line(request, unsigned, i % 2 == 0)
        for i, (request, _, unsigned) in enumerate(requests)
    ]
    run = subprocess.run([driver], input=b"".join(lines), stdout=subprocess.PIPE, check=False)
    outputs = run.stdout.split(b"\0")
    failures = 0

    for i, (request, parameters, unsigned) in enumerate(requests):
        expected = [part.encode() for part in sign_with_botocore(request, parameters, unsigned)]
        got = outputs[3 * i : 3 * i + 3]
        what = [request["method"], "as S3" if request["s3"] else "as any service"]
        what += ["with a token"] if request["token"] is not None else []
        what += ["the payload unsigned"] if unsigned else []
        if got == expected:
            print(f"ok {i + 1} - {', '.join(what)}")
            continue
        failures += 1
        print(f"not ok {i + 1} - {', '.join(what)}")
        for stage, ours, theirs in zip(("canonical request", "string to sign", "authorization"),
                                       got + [b"(none)"] * 3, expected):
            if ours != theirs:
                print(f"# {stage}\n#      got: {ours!r}\n# expected: {theirs!r}")
                break
        print(f"# request: {json.dumps(request)}")

    complete = run.returncode == 0 and len(outputs) == 3 * count + 1
    print(f"{'ok' if complete else 'not ok'} {count + 1} - the driver signed all of them and no more")
    print(f"1..{count + 1}")
    sys.exit(0 if failures == 0 and complete else 1)


if __name__ == "__main__":
    main()
