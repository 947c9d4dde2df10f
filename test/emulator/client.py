"""What the tests use: an emulator of their own, and a client that signs with a signer of its own.

The signer shares no code with emulator/sigv4.py, so that neither can cover up for the other.
"""

import atexit
import datetime
import hashlib
import hmac
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import unittest
from urllib.parse import quote, urlsplit

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.path.join(os.path.dirname(ROOT), "shared")
ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN_ACCESS_KEY, TOKEN_SECRET_KEY, TOKEN = "ASIAEXAMPLE", "tokensecret", "the:session/token=="
BUCKET = "athena-emulator"
ENDED = ("COMPLETED", "FAILED", "CANCELED")


class Emulator:
    """An emulator process."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emulator", "--control", "--exit-with-parent", "--credentials",
             "%s:%s" % (ACCESS_KEY, SECRET_KEY), "--credentials", "%s:%s:%s" % (TOKEN_ACCESS_KEY, TOKEN_SECRET_KEY, TOKEN),
             *options], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
        self.authority = None
        line = self.process.stdout.readline()
        if line.startswith("certificate authority "):
            self.authority = line[len("certificate authority "):].strip()
            line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError("the emulator did not start: %r" % line)
        self.url = line.split()[-1]
        self.netloc = urlsplit(self.url).netloc

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(10)


class Answer:
    """A response that has been read to its end."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


class AthenaError(Exception):
    """An answer that is not 200."""

    def __init__(self, answer):
        super().__init__(answer.status, answer.body)
        self.answer = answer
        self.code = answer.json["__type"]
        self.message = answer.json["Message"]
        self.athena_error_code = answer.json.get("AthenaErrorCode")


class Client:
    """One connection to an emulator, kept open over requests.

    sign(): the headers of a request; a test may spoil them before it sends them with send().
    """

    def __init__(self, emulator, access_key=ACCESS_KEY, secret_key=SECRET_KEY, token=None, region="us-east-1"):
        self.netloc = emulator.netloc
        self.authority = emulator.authority
        self.keys = (access_key, secret_key, token)
        self.region = region
        self.connection = self.connect()

    def connect(self, timeout=30):
        if self.authority:
            context = ssl.create_default_context(cafile=self.authority)
            return http.client.HTTPSConnection(self.netloc, timeout=timeout, context=context)
        return http.client.HTTPConnection(self.netloc, timeout=timeout)

    def close(self):
        self.connection.close()

    def sign(self, method, target, body=b"", headers=None, service="athena", when=None, unsigned=(), host=None,
             payload=None, path_to_sign=None):
        access_key, secret_key, token = self.keys
        when = when or datetime.datetime.now(datetime.timezone.utc)
        stamp = when.strftime("%Y%m%dT%H%M%SZ")
        sent = {"host": host or self.netloc, "x-amz-date": stamp}
        sent.update({name.lower(): value for name, value in (headers or {}).items()})
        if token:
            sent["x-amz-security-token"] = token
        payload = payload or hashlib.sha256(body).hexdigest()
        if service == "s3":
            sent["x-amz-content-sha256"] = payload
        path, _, query = target.partition("?")
        names = sorted(name for name in sent if name not in unsigned)
        canonical = "\n".join([
            method, path_to_sign or (path if service == "s3" else quote(path, safe="/~")),
            "&".join(sorted(part if "=" in part else part + "=" for part in query.split("&") if part)),
            "".join("%s:%s\n" % (name, " ".join(sent[name].split())) for name in names), ";".join(names), payload])
        scope = "%s/%s/%s/aws4_request" % (stamp[:8], self.region, service)
        text = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())
        key = ("AWS4" + secret_key).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        sent["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
            access_key, scope, ";".join(names), hmac.new(key, text.encode(), hashlib.sha256).hexdigest())
        return sent

    def send(self, method, target, headers, body=b"", connection=None):
        connection = connection or self.connection
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body or method in ("POST", "PUT"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return Answer(connection.getresponse())

    def athena_headers(self, operation, body, **options):
        return self.sign("POST", "/", body, {"content-type": "application/x-amz-json-1.1",
                                             "x-amz-target": "AmazonAthena." + operation}, **options)

    def raw_call(self, operation, members, connection=None, **options):
        body = members if isinstance(members, bytes) else json.dumps(members).encode()
        return self.send("POST", "/", self.athena_headers(operation, body, **options), body, connection)

    def call(self, operation, **members):
        answer = self.raw_call(operation, members)
        if answer.status != 200:
            raise AthenaError(answer)
        return answer.json

    def s3(self, method, target, body=b"", headers=None, **options):
        return self.send(method, target, self.sign(method, target, body, headers, "s3", **options), body)

    def get_uri(self, uri):
        answer = self.s3("GET", "/" + uri[len("s3://"):])
        if answer.status != 200:
            raise AssertionError((answer.status, answer.body))
        return answer.body

    def control(self, method, path, value=None):
        body = b"" if value is None else json.dumps(value).encode()
        answer = self.send(method, "/_emulator/" + path, {"host": self.netloc}, body)
        if answer.status != 200:
            raise AssertionError((answer.status, answer.body))
        return answer.json


_emulators = {}


def shared_emulator(*options):
    """One emulator for all tests that start it with the same options."""
    if options not in _emulators:
        _emulators[options] = Emulator(*options)
        atexit.register(_emulators[options].stop)
    return _emulators[options]


class EmulatorTest(unittest.TestCase):
    """A test with an emulator in its first state, and a client for it."""

    OPTIONS = ()

    def setUp(self):
        self.emulator = shared_emulator(*self.OPTIONS)
        self.client = Client(self.emulator)
        self.addCleanup(self.client.close)
        self.client.control("POST", "reset")

    def call(self, operation, **members):
        return self.client.call(operation, **members)

    def refused(self, operation, members, code="InvalidRequestException"):
        """The error that a call must give."""
        with self.assertRaises(AthenaError) as raised:
            self.call(operation, **members)
        self.assertEqual(raised.exception.code, code)
        return raised.exception

    def settings(self, **settings):
        self.client.control("POST", "settings", settings)

    def faults(self, *rules):
        self.client.control("POST", "faults", list(rules))

    def log(self):
        return self.client.control("GET", "log")

    def until(self, look, wanted, seconds=15):
        """Looks until the state is one of those wanted; returns the states that were seen, in order."""
        seen = []
        deadline = time.monotonic() + seconds
        pause = 0.005
        while True:
            state = look()
            if not seen or seen[-1] != state:
                seen.append(state)
            if state in wanted:
                return seen
            self.assertLess(time.monotonic(), deadline, "only saw %s" % seen)
            time.sleep(pause)
            # A long wait is Spark's, which wants the processors that looking takes.
            pause = min(pause * 1.1, 0.2)

    def session_state(self, session):
        return self.call("GetSessionStatus", SessionId=session)["Status"]["State"]

    def calculation_state(self, calculation):
        return self.call("GetCalculationExecutionStatus", CalculationExecutionId=calculation)["Status"]["State"]

    def start_session(self, **members):
        """The id of a new session that is IDLE."""
        members = {"WorkGroup": "spark", "EngineConfiguration": {"MaxConcurrentDpus": 4}, **members}
        session = self.call("StartSession", **members)["SessionId"]
        self.until(lambda: self.session_state(session), ("IDLE",))
        return session

    def start(self, session, code, **members):
        """The id of a new calculation."""
        return self.call("StartCalculationExecution", SessionId=session, CodeBlock=code, **members)["CalculationExecutionId"]

    def run_code(self, session, code):
        """A calculation that has ended, as GetCalculationExecution gives it."""
        calculation = self.start(session, code)
        self.until(lambda: self.calculation_state(calculation), ENDED)
        return self.call("GetCalculationExecution", CalculationExecutionId=calculation)

    def output(self, calculation, name="stdout"):
        return self.client.get_uri("%s/%s" % (calculation["WorkingDirectory"], name)).decode()
