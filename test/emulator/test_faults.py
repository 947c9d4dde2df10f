"""Answers that go wrong on purpose, the log, and the other control paths."""

import base64
import http.client
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

from client import BUCKET, ROOT, Client, Emulator, EmulatorTest


class Faults(EmulatorTest):

    def ask(self, connection=None):
        return self.client.raw_call("ListEngineVersions", {}, connection)

    def raw(self, timeout=5):
        """Sends a request over a socket of its own and returns the socket."""
        body = b"{}"
        headers = self.client.athena_headers("ListEngineVersions", body)
        sock = self.client.connect(timeout)
        sock.connect()
        sock = sock.sock
        sock.sendall(("POST / HTTP/1.1\r\n%s\r\ncontent-length: 2\r\n\r\n" % "\r\n".join(
            "%s: %s" % item for item in headers.items())).encode() + body)
        self.addCleanup(sock.close)
        return sock

    def all_of(self, sock):
        data = b""
        while True:
            try:
                piece = sock.recv(65536)
            except ConnectionResetError:
                return data, True
            except ssl.SSLError:
                return data, False
            if not piece:
                return data, False
            data += piece

    def test_an_answer_instead(self):
        self.faults({"operation": "ListEngineVersions", "status": 500, "body": "oops", "headers": {"x-extra": "1"}})
        answer = self.ask()
        self.assertEqual((answer.status, answer.body, answer.headers["x-extra"]), (500, b"oops", "1"))
        self.assertIn("x-amzn-requestid", answer.headers)
        self.assertEqual(self.ask().status, 200)
        entries = self.log()["requests"]
        self.assertEqual([(entry["status"], entry["fault"]) for entry in entries], [(500, True), (200, False)])

    def test_bodies_and_headers(self):
        self.faults({"operation": "*", "body_base64": base64.b64encode(b"\xff\x00").decode(),
                     "headers": {"date": None, "content-type": "text/html"}},
                    {"operation": "*", "body": "{}", "headers": {"Content-Length": "1"}})
        answer = self.ask()
        self.assertEqual((answer.status, answer.body, answer.headers["content-type"]), (200, b"\xff\x00", "text/html"))
        self.assertNotIn("date", answer.headers)
        # What contradicts its own length is sent as it is.
        sock, data = self.raw(), b""
        while not data.endswith(b"\r\n\r\n{}"):
            data += sock.recv(65536)
        self.assertIn(b"Content-Length: 1\r\n", data)

    def test_set_headers_changes_the_true_answer(self):
        self.faults({"operation": "*", "set_headers": {"Date": "Thu, 01 Jan 1970 00:00:00 GMT", "x-amz-retry-after": "5"}})
        answer = self.ask()
        self.assertEqual(len(answer.json["EngineVersions"]), 2)
        self.assertEqual((answer.headers["date"], answer.headers["x-amz-retry-after"]),
                         ("Thu, 01 Jan 1970 00:00:00 GMT", "5"))

    def test_errors(self):
        self.faults({"operation": "*", "error": "ThrottlingException", "message": "Rate exceeded"},
                    {"operation": "*", "error": "InternalServerException", "status": 500},
                    {"operation": "S3.GetObject", "error": "SlowDown", "message": "Please reduce your request rate.",
                     "status": 503})
        answer = self.ask()
        self.assertEqual((answer.status, answer.json), (400, {"__type": "ThrottlingException", "Message": "Rate exceeded"}))
        self.assertEqual(self.ask().status, 500)
        answer = self.client.s3("GET", "/%s/key" % BUCKET)
        self.assertEqual(answer.status, 503)
        self.assertIn(b"<Code>SlowDown</Code><Message>Please reduce your request rate.</Message>", answer.body)

    def test_which_requests_are_struck(self):
        self.faults({"operation": "GetSession", "status": 500, "times": None},
                    {"operation": "*", "contains": "needle", "status": 501, "times": None},
                    {"operation": "ListEngineVersions", "skip": 2, "times": 2, "status": 502})
        self.assertEqual([self.ask().status for _ in range(5)], [200, 200, 502, 502, 200])
        self.assertEqual([self.client.raw_call("GetSession", {"SessionId": "x"}).status for _ in range(3)], [500] * 3)
        self.assertEqual(self.client.raw_call("GetSessionStatus", {"SessionId": "a needle"}).status, 501)
        self.assertEqual(self.client.s3("GET", "/%s/needle" % BUCKET).status, 501)
        left = self.client.control("GET", "faults")
        self.assertEqual([rule["status"] for rule in left], [500, 501])
        self.client.control("DELETE", "faults")
        self.assertEqual(self.client.control("GET", "faults"), [])
        self.assertEqual(self.client.raw_call("GetSessionStatus", {"SessionId": "a needle"}).status, 400)

    def test_whether_the_request_is_carried_out(self):
        members = {"WorkGroup": "spark", "EngineConfiguration": {}, "ClientRequestToken": str(uuid.uuid4())}

        def count():
            return len(self.call("ListSessions", WorkGroup="spark")["Sessions"])

        self.faults({"operation": "StartSession", "status": 500},
                    {"operation": "StartSession", "drop": "before"},
                    {"operation": "StartSession", "status": 500, "body": "lost", "apply": True})
        self.assertEqual(self.client.raw_call("StartSession", members).status, 500)
        with self.assertRaises((http.client.HTTPException, OSError)):
            self.client.raw_call("StartSession", members)
        self.client.close()
        self.assertEqual(count(), 0)
        self.assertEqual(self.client.raw_call("StartSession", members).body, b"lost")
        self.assertEqual(count(), 1)
        self.faults({"operation": "StartSession", "drop": "after"})
        with self.assertRaises((http.client.HTTPException, OSError)):
            self.client.raw_call("StartSession", {**members, "ClientRequestToken": "u" * 32})
        self.client.close()
        self.assertEqual(count(), 2)
        self.call("StartSession", **members)
        self.assertEqual(count(), 2)

    def test_a_refusal_stays_one_behind_a_fault(self):
        self.faults({"operation": "*", "delay": 0.01}, {"operation": "*", "status": 200, "body": "{}"})
        self.client.keys = (self.client.keys[0], "wrong", None)
        self.assertEqual(self.ask().status, 403)
        self.assertEqual(self.ask().status, 200)
        self.assertEqual([entry["authorized"] for entry in self.log()["requests"]], [False, False])

    def test_delay(self):
        self.faults({"operation": "*", "delay": 0.3})
        began = time.monotonic()
        self.assertEqual(self.ask().status, 200)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        self.settings(delay_seconds=0.2)
        began = time.monotonic()
        self.assertEqual(self.ask().status, 200)
        self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_hang(self):
        self.faults({"operation": "*", "hang": True})
        sock = self.raw(timeout=0.3)
        with self.assertRaises(socket.timeout):
            sock.recv(1)
        # Those of earlier tests may take a moment to be closed.
        self.until(lambda: self.log()["connections_open"], (1,), 3)
        self.assertIsNone(self.log()["requests"][0]["status"])
        sock.close()
        self.until(lambda: self.log()["connections_open"], (0,), 3)

    def test_drop_and_reset(self):
        self.faults({"operation": "*", "drop": "before"}, {"operation": "*", "drop": "before", "reset": True})
        self.assertEqual(self.all_of(self.raw()), (b"", False))
        data, was_reset = self.all_of(self.raw())
        self.assertEqual(data, b"")
        # Some versions of Python show a reset under TLS as an end like any other.
        self.assertTrue(was_reset or self.OPTIONS)

    def test_cut(self):
        self.faults({"operation": "*", "cut": 30}, {"operation": "*", "cut_body": 5}, {"operation": "*", "cut_body": 5,
                                                                                      "reset": True})
        self.assertEqual(len(self.all_of(self.raw())[0]), 30)
        data, was_reset = self.all_of(self.raw())
        head, _, body = data.partition(b"\r\n\r\n")
        self.assertEqual((body, was_reset), (b'{"Eng', False))
        self.assertNotIn(b"Content-Length: 5\r\n", head)
        self.assertIn(b"Content-Length: ", head)
        self.all_of(self.raw())

    def test_stall(self):
        self.faults({"operation": "*", "cut_body": 5, "stall": True})
        sock = self.raw(timeout=0.3)
        data = b""
        with self.assertRaises(socket.timeout):
            while True:
                data += sock.recv(65536)
        self.assertEqual(data.partition(b"\r\n\r\n")[2], b'{"Eng')
        sock.close()
        self.until(lambda: self.log()["connections_open"], (0,), 3)

    def test_drip(self):
        self.faults({"operation": "*", "drip_body": {"bytes": 20, "interval": 0.02}},
                    {"operation": "*", "drip": {"bytes": 50, "interval": 0.02}})
        for _ in range(2):
            began = time.monotonic()
            self.assertEqual(len(self.ask().json["EngineVersions"]), 2)
            self.assertGreater(time.monotonic() - began, 0.1)

    def test_endless(self):
        self.faults({"operation": "*", "endless": True},
                    {"operation": "*", "endless": True, "chunked": True, "endless_text": "abc"})
        for wanted, letters in ((b"Connection: close", b"   "), (b"Transfer-Encoding: chunked", b"abcabc")):
            sock = self.raw()
            data = b""
            while len(data) < 300000:
                data += sock.recv(65536)
            sock.close()
            head, _, body = data.partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 200"))
            self.assertIn(wanted, head)
            self.assertNotIn(b"Content-Length", head)
            self.assertIn(letters, body)
        self.until(lambda: self.log()["connections_open"], (0,), 3)

    def test_raw(self):
        self.faults({"operation": "*", "raw_base64": base64.b64encode(b"SSH-2.0-x\r\n").decode()})
        self.assertEqual(self.all_of(self.raw()), (b"SSH-2.0-x\r\n", False))

    def test_close(self):
        self.faults({"operation": "*", "close": True})
        data, was_reset = self.all_of(self.raw())
        self.assertIn(b"\r\nConnection: close\r\n", data)
        self.assertTrue(data.endswith(b"}]}"), data)
        self.assertFalse(was_reset)

    def test_rules_that_are_none(self):
        for rule, words in (({}, "operation"), ({"operation": "*", "colour": 1}, "colour"), (5, "object"),
                            ({"operation": "*", "status": "500"}, "status"), ({"operation": "*", "drop": "now"}, "drop"),
                            ({"operation": "*", "times": -1}, "times"), ({"operation": "*", "raw_base64": "?"}, "raw_base64"),
                            ({"operation": "*", "drip": {"bytes": 0}}, "drip"), ({"operation": "*", "cut": "now"}, "cut"),
                            ({"operation": "*", "processing": True}, "processing"),
                            ({"operation": "GetSession", "replace": "x"}, "S3")):
            answer = self.client.send("POST", "/_emulator/faults", {"host": "x"}, json.dumps([rule]).encode())
            self.assertEqual(answer.status, 400)
            self.assertIn(words, answer.json["error"])
        self.assertEqual(self.client.control("GET", "faults"), [])


class FaultsOverTls(Faults):

    OPTIONS = ("--tls",)


class Log(EmulatorTest):

    def test_requests(self):
        self.call("ListEngineVersions", Note="ü")
        self.client.s3("GET", "/%s/key" % BUCKET)
        first, second = self.log()["requests"]
        self.assertEqual((first["n"], first["service"], first["operation"], first["status"], first["authorized"]),
                         (1, "athena", "ListEngineVersions", 200, True))
        self.assertEqual(json.loads(first["body"]), {"Note": "ü"})
        self.assertEqual(first["headers"]["x-amz-target"], "AmazonAthena.ListEngineVersions")
        self.assertIn("Signature=", first["headers"]["authorization"])
        self.assertAlmostEqual(first["time"], time.time(), delta=10)
        self.assertEqual((second["service"], second["operation"], second["status"]), ("s3", "S3.GetObject", 404))
        self.assertEqual(first["connection"], second["connection"])
        self.client.control("DELETE", "log")
        self.assertEqual(self.log()["requests"], [])

    def test_connections_and_requests_at_once(self):
        self.until(lambda: self.log()["connections_open"], (0,), 3)
        self.client.control("DELETE", "log")
        self.settings(delay_seconds=0.3)

        def ask():
            client = Client(self.emulator)
            client.call("ListEngineVersions")
            client.call("ListEngineVersions")
            client.close()

        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log = self.log()
        self.assertEqual((log["connections_opened"], log["max_in_flight"], len(log["requests"])), (5, 5, 10))
        self.until(lambda: self.log()["connections_open"], (0,), 3)

    def test_a_long_body_is_shortened(self):
        self.client.s3("PUT", "/%s/key" % BUCKET, b"x" * 100000)
        self.assertEqual(len(self.log()["requests"][0]["body"]), 2000)


class Control(EmulatorTest):

    def test_settings(self):
        shown = self.client.control("GET", "settings")
        self.assertEqual((shown["clock_offset_seconds"], shown["results_for"]), (0, ["COMPLETED"]))
        self.settings(delay_seconds=0.1)
        self.assertEqual(self.client.control("GET", "settings")["delay_seconds"], 0.1)
        for wrong in ({"delay": 1}, {"delay_seconds": -1}, {"delay_seconds": "1"}, {"results_for": ["STOPPED"]},
                      {"sts_format": "yaml"}, {"sts_format": True}, {"metadata_stale": 1}, {"metadata_stale": None}, [1]):
            answer = self.client.send("POST", "/_emulator/settings", {"host": "x"}, json.dumps(wrong).encode())
            self.assertEqual(answer.status, 400, wrong)

    def test_reset(self):
        self.start_session()
        self.settings(delay_seconds=0.01)
        self.client.s3("PUT", "/%s/key" % BUCKET, b"x")
        self.client.control("POST", "reset")
        self.assertEqual(self.client.control("GET", "settings")["delay_seconds"], 0)
        self.assertEqual(self.log()["requests"], [])
        self.assertEqual(self.client.s3("GET", "/%s/key" % BUCKET).status, 404)
        self.assertEqual(self.call("ListSessions", WorkGroup="spark")["Sessions"], [])

    def test_no_such_path(self):
        self.assertEqual(self.client.send("GET", "/_emulator/other", {"host": "x"}).status, 404)
        answer = self.client.send("POST", "/_emulator/session", {"host": "x"},
                                  b'{"session_id": "x", "state": "FAILED"}')
        self.assertEqual(answer.status, 404)


class Process(unittest.TestCase):

    def test_without_control_there_are_no_control_paths(self):
        process = subprocess.Popen([sys.executable, "-m", "emulator"], cwd=ROOT, stdout=subprocess.PIPE,
                                   universal_newlines=True)
        self.addCleanup(process.stdout.close)
        netloc = process.stdout.readline().split("//")[1].strip()
        connection = http.client.HTTPConnection(netloc, timeout=5)
        self.addCleanup(connection.close)
        connection.request("GET", "/_emulator/settings")
        self.assertEqual(connection.getresponse().status, 403)
        process.terminate()
        self.assertEqual(process.wait(3), 0)
        self.assertEqual(process.stdout.read(), "")

    def test_the_end_takes_the_sessions_with_it(self):
        for ending in ("stop", "kill"):
            # Killed, the emulator cannot remove a directory of its own.
            directory = tempfile.TemporaryDirectory()
            self.addCleanup(directory.cleanup)
            emulator = Emulator("--state-dir", directory.name)
            client = Client(emulator)
            session = client.call("StartSession", WorkGroup="spark", EngineConfiguration={})["SessionId"]
            while client.call("GetSessionStatus", SessionId=session)["Status"]["State"] != "IDLE":
                time.sleep(0.01)
            calculation = client.call("StartCalculationExecution", SessionId=session,
                                      CodeBlock="import time; time.sleep(300)")["CalculationExecutionId"]
            while client.call("GetCalculationExecutionStatus",
                              CalculationExecutionId=calculation)["Status"]["State"] != "RUNNING":
                time.sleep(0.01)
            client.close()
            self.assertEqual(len(self.kernels(emulator.process.pid)), 1)
            pids = self.kernels(emulator.process.pid)
            if ending == "stop":
                self.assertEqual(emulator.stop(), 0)
            else:
                emulator.process.kill()
                emulator.stop()
            deadline = time.monotonic() + 3
            while any(self.runs(pid) for pid in pids):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)

    @staticmethod
    def kernels(parent):
        listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], stdout=subprocess.PIPE, universal_newlines=True).stdout
        return [int(line.split()[0]) for line in listed.splitlines()[1:]
                if line.split()[1] == str(parent) and "kernel.py" in line]

    @staticmethod
    def runs(pid):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE,
                               universal_newlines=True).stdout.strip()
        return state != "" and not state.startswith("Z")

    def test_wrong_options(self):
        for options in (["--credentials", "x"], ["--certificate", "x"], ["--session-start-seconds", "-1"]):
            done = subprocess.run([sys.executable, "-m", "emulator", *options], cwd=ROOT, stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 2)
        done = subprocess.run([sys.executable, "-m", "emulator", "--bucket", "No_Bucket"], cwd=ROOT, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No_Bucket", done.stderr)


class Http(EmulatorTest):

    def test_a_chunked_body_and_an_invitation(self):
        connection = self.client.connection
        connection.putrequest("POST", "/", skip_host=True, skip_accept_encoding=True)
        for name, value in self.client.athena_headers("ListEngineVersions", b'{"MaxResults": 2}').items():
            connection.putheader(name, value)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        connection.sock.settimeout(5)
        self.assertEqual(connection.sock.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.send(b'6\r\n{"MaxR\r\nb;extension=1\r\nesults": 2}\r\n0\r\ntrailer: x\r\n\r\n')
        response = connection.getresponse()
        self.assertEqual((response.status, len(json.loads(response.read())["EngineVersions"])), (200, 2))

    def exchange(self, data):
        sock = self.client.connect(5)
        sock.connect()
        sock.sock.sendall(data)
        received = b""
        while True:
            piece = sock.sock.recv(65536)
            if not piece:
                break
            received += piece
        sock.close()
        return received

    def test_what_is_not_http(self):
        for data in (b"nonsense\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET http://x/ HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\nname : x\r\n\r\n",
                     b"GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n", b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                     b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                     b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                     b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"):
            self.assertTrue(self.exchange(data).startswith(b"HTTP/1.1 400 "), data)
        self.assertTrue(self.exchange(b"GET / HTTP/1.1\r\nx: " + b"y" * 70000).startswith(b"HTTP/1.1 431 "))

    def test_the_connection_is_kept_unless_the_client_says_otherwise(self):
        data = self.exchange(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertEqual(data.count(b"HTTP/1.1 403 "), 2)
        self.assertEqual(self.exchange(b"GET /a HTTP/1.0\r\nHost: x\r\n\r\n").count(b"HTTP/1.1 403 "), 1)


if __name__ == "__main__":
    unittest.main()
