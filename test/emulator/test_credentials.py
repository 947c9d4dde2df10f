"""Where credentials come from: STS, the instance metadata service and the container endpoint."""

import base64
import datetime
import hashlib
import json
import time
import unittest
from urllib.parse import urlencode
from xml.etree import ElementTree

from client import BUCKET, Client, EmulatorTest

try:
    import boto3
    from botocore import utils
except ImportError:
    boto3 = None

ROLE, STRICT_ROLE = "arn:aws:iam::123456789012:role/etl", "arn:aws:iam::123456789012:role/path/strict"
EXTERNAL_ID, CONTAINER_TOKEN = "the:id", "container-token"


def web_identity(**claims):
    """A JSON Web Token, as a cluster would write it to a file."""
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"exp": time.time() + 600, "sub": "system:serviceaccount:etl", "aud": ["sts.amazonaws.com"],
              "iss": "https://issuer.example", **claims}
    return "%s.%s.c2ln" % (part({"alg": "RS256"}), part(claims))


class CredentialsTest(EmulatorTest):

    OPTIONS = ("--sts-role", ROLE, "--sts-role", STRICT_ROLE + ":" + EXTERNAL_ID, "--metadata", "--container-token",
               CONTAINER_TOKEN)

    def works(self, access_key, secret_key, token):
        """The status and code of a request of Athena's and of S3's that such credentials sign."""
        client = Client(self.emulator, access_key, secret_key, token)
        self.addCleanup(client.close)
        athena, s3 = client.raw_call("ListEngineVersions", {}), client.s3("GET", "/%s?list-type=2" % BUCKET)
        return (athena.status, athena.json.get("__type"), s3.status, ElementTree.fromstring(s3.body).findtext("Code"))

    def identity(self, got):
        """Whose the credentials are that the metadata or the container have given."""
        client = Client(self.emulator, got["AccessKeyId"], got["SecretAccessKey"], got["Token"])
        self.addCleanup(client.close)
        body = b"Action=GetCallerIdentity&Version=2011-06-15"
        headers = client.sign("POST", "/", body, {"content-type": "application/x-www-form-urlencoded"}, "sts")
        return ElementTree.fromstring(client.send("POST", "/", headers, body).body).findtext(".//{*}Arn")

    @staticmethod
    def digest(secret):
        """What the log has in place of a secret."""
        return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()[:16]

    ACCEPTED = (200, None, 200, None)
    EXPIRED = (403, "ExpiredTokenException", 400, "ExpiredToken")


class Sts(CredentialsTest):

    def ask(self, action, signed=True, method="POST", accept="application/json", client=None, **members):
        form = urlencode({"Action": action, "Version": "2011-06-15", **members}).replace("+", "%20")
        client = client or self.client
        headers = {"accept": accept}
        target, body = "/", form.encode()
        if method == "GET":
            target, body = "/?" + form, b""
        else:
            headers["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"
        if signed:
            headers = client.sign(method, target, body, headers, "sts")
        else:
            headers["host"] = client.netloc
        return client.send(method, target, headers, body)

    def assume(self, **members):
        answer = self.ask("AssumeRole", **{"RoleArn": ROLE, "RoleSessionName": "nightly", **members})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json["AssumeRoleResponse"]["AssumeRoleResult"]

    def refused_with(self, answer, status, code):
        self.assertEqual((answer.status, answer.json["Error"]["Code"]), (status, code), answer.body)
        return answer.json["Error"]["Message"]

    @staticmethod
    def keys(result):
        return tuple(result["Credentials"][name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))

    def test_a_role(self):
        result = self.assume(DurationSeconds=900)
        self.assertEqual(result["AssumedRoleUser"]["Arn"], "arn:aws:sts::123456789012:assumed-role/etl/nightly")
        self.assertIs(type(result["Credentials"]["Expiration"]), int)
        self.assertAlmostEqual(result["Credentials"]["Expiration"], time.time() + 900, delta=10)
        self.assertEqual(self.works(*self.keys(result)), self.ACCEPTED)
        client = Client(self.emulator, *self.keys(result))
        self.addCleanup(client.close)
        identity = self.ask("GetCallerIdentity", client=client).json["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
        self.assertEqual((identity["Arn"], identity["Account"], identity["UserId"]), (
            result["AssumedRoleUser"]["Arn"], "123456789012", result["AssumedRoleUser"]["AssumedRoleId"]))
        chained = self.ask("AssumeRole", client=client, RoleArn=ROLE, RoleSessionName="next", DurationSeconds=3601)
        self.assertIn("role chaining", self.refused_with(chained, 400, "ValidationError"))

    def test_expiry(self):
        keys = self.keys(self.assume())
        self.settings(clock_offset_seconds=3590)
        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3601)
        self.settings(clock_offset_seconds=3601)
        client = Client(self.emulator, *keys)
        self.addCleanup(client.close)
        answer = client.raw_call("ListEngineVersions", {}, when=later)
        self.assertEqual((answer.status, answer.json["__type"]), (403, "ExpiredTokenException"))
        self.settings(clock_offset_seconds=0, credential_lifetime_seconds=0.2)
        keys = self.keys(self.assume())
        time.sleep(0.3)
        self.assertEqual(self.works(*keys), self.EXPIRED)

    def test_xml_and_get(self):
        for method in ("POST", "GET"):
            answer = self.ask("AssumeRole", method=method, accept="*/*", RoleArn=ROLE, RoleSessionName="n@x=y")
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/xml"))
            root = ElementTree.fromstring(answer.body)
            name = "{https://sts.amazonaws.com/doc/2011-06-15/}"
            self.assertEqual(root.tag, name + "AssumeRoleResponse")
            expiration = root.findtext("%sAssumeRoleResult/%sCredentials/%sExpiration" % (name, name, name))
            datetime.datetime.strptime(expiration, "%Y-%m-%dT%H:%M:%SZ")
        answer = self.ask("AssumeRole", signed=False, accept="*/*")
        self.assertEqual(answer.status, 403)
        self.assertIn(b"<Code>MissingAuthenticationToken</Code>", answer.body)

    def test_the_format_can_be_forced(self):
        def write(accept):
            answers = [self.ask("AssumeRole", accept=accept, RoleArn=ROLE, RoleSessionName="nightly"),
                       self.ask("AssumeRole", accept=accept, RoleArn=ROLE + "2", RoleSessionName="nightly"),
                       self.ask("AssumeRoleWithWebIdentity", signed=False, accept=accept, RoleArn=ROLE, RoleSessionName="pod",
                                WebIdentityToken=web_identity()),
                       self.ask("AssumeRoleWithWebIdentity", signed=False, accept=accept, RoleArn=ROLE, RoleSessionName="pod",
                                WebIdentityToken="nothing")]
            self.assertEqual([answer.status for answer in answers], [200, 403, 200, 400])
            types = {answer.headers["content-type"] for answer in answers}
            self.assertEqual(len(types), 1)
            for answer in answers:
                (ElementTree.fromstring if types == {"text/xml"} else json.loads)(answer.body)
            return types.pop()

        for wanted, by_default, by_header in ((None, "text/xml", "application/json"), ("xml", "text/xml", "text/xml"),
                                              ("json", "application/json", "application/json")):
            self.settings(sts_format=wanted)
            self.assertEqual((write("*/*"), write("application/json")), (by_default, by_header))
        self.faults({"operation": "STS.AssumeRole", "error": "ServiceUnavailable", "status": 503})
        self.settings(sts_format="xml")
        self.assertIn(b"<Code>ServiceUnavailable</Code>", self.ask("AssumeRole").body)

    def test_short_lives(self):
        self.settings(credential_lifetime_seconds=2)
        web = self.ask("AssumeRoleWithWebIdentity", signed=False, RoleArn=ROLE, RoleSessionName="pod",
                       WebIdentityToken=web_identity()).json
        issued = [self.assume(DurationSeconds=3600), web["AssumeRoleWithWebIdentityResponse"]["AssumeRoleWithWebIdentityResult"]]
        begun = time.time()
        for result in issued:
            self.assertLessEqual(result["Credentials"]["Expiration"], begun + 2)
            self.assertGreater(result["Credentials"]["Expiration"], begun)
            self.assertEqual(self.works(*self.keys(result)), self.ACCEPTED)
        time.sleep(2.1)
        for result in issued:
            self.assertEqual(self.works(*self.keys(result)), self.EXPIRED)

    def test_who_may_assume_which_role(self):
        for members in ({"RoleArn": ROLE + "2"}, {"RoleArn": STRICT_ROLE}, {"RoleArn": STRICT_ROLE, "ExternalId": "other"}):
            answer = self.ask("AssumeRole", RoleSessionName="nightly", **members)
            self.assertIn("is not authorized to perform: sts:AssumeRole", self.refused_with(answer, 403, "AccessDenied"))
        self.assume(RoleArn=STRICT_ROLE, ExternalId=EXTERNAL_ID)
        self.client.keys = (self.client.keys[0], "wrong", None)
        self.refused_with(self.ask("GetCallerIdentity"), 403, "SignatureDoesNotMatch")
        self.client.keys = ("AKIDOTHER", "wrong", None)
        self.refused_with(self.ask("GetCallerIdentity"), 403, "InvalidClientTokenId")

    def test_limits(self):
        for members, words in (({"RoleSessionName": "x"}, "'roleSessionName' failed"),
                               ({"RoleSessionName": "x" * 65}, "less than or equal to 64"),
                               ({"RoleSessionName": "a b"}, "regular expression"), ({"DurationSeconds": 899}, "900"),
                               ({"DurationSeconds": 43201}, "43200"), ({"ExternalId": "x"}, "'externalId'"),
                               ({"RoleArn": "short"}, "'roleArn'")):
            answer = self.ask("AssumeRole", **{"RoleArn": ROLE, "RoleSessionName": "nightly", **members})
            self.assertIn(words, self.refused_with(answer, 400, "ValidationError"))
        self.assertIn("2 validation errors", self.refused_with(self.ask("AssumeRole"), 400, "ValidationError"))
        self.refused_with(self.ask("GetFederationToken"), 400, "InvalidAction")

    def test_a_web_identity(self):
        def ask(token, role=ROLE):
            return self.ask("AssumeRoleWithWebIdentity", signed=False, RoleArn=role, RoleSessionName="pod",
                            WebIdentityToken=token)

        result = ask(web_identity()).json["AssumeRoleWithWebIdentityResponse"]["AssumeRoleWithWebIdentityResult"]
        self.assertEqual((result["SubjectFromWebIdentityToken"], result["Audience"]),
                         ("system:serviceaccount:etl", "sts.amazonaws.com"))
        self.assertEqual(self.works(*self.keys(result)), self.ACCEPTED)
        self.refused_with(ask(web_identity(exp=time.time() - 1)), 400, "ExpiredTokenException")
        self.refused_with(ask("not a token"), 400, "InvalidIdentityToken")
        self.refused_with(ask(web_identity(), ROLE + "2"), 403, "AccessDenied")

    def test_it_can_be_made_to_fail(self):
        self.faults({"operation": "STS.AssumeRole", "error": "ServiceUnavailable", "status": 503})
        self.refused_with(self.ask("AssumeRole", RoleArn=ROLE, RoleSessionName="nightly"), 503, "ServiceUnavailable")
        self.assume()
        self.assertEqual([entry["service"] for entry in self.log()["requests"]], ["sts", "sts"])

    def test_the_log_says_who_signed(self):
        result = self.assume()
        client = Client(self.emulator, *self.keys(result))
        self.addCleanup(client.close)
        client.raw_call("ListEngineVersions", {})
        token = web_identity()
        self.ask("AssumeRoleWithWebIdentity", signed=False, RoleArn=ROLE, RoleSessionName="pod", WebIdentityToken=token)
        client.keys = ("AKIDOTHER", "wrong", None)
        client.s3("GET", "/%s/key" % BUCKET)
        self.client.keys = (self.client.keys[0], "wrong", None)
        self.ask("GetCallerIdentity")
        self.settings(expired_access_keys=[self.keys(result)[0]])
        client.keys = self.keys(result)
        client.raw_call("ListEngineVersions", {})
        log = self.log()
        user, role = "arn:aws:iam::123456789012:user/emulator", result["AssumedRoleUser"]["Arn"]
        self.assertEqual([(entry["operation"], entry["access_key_id"], entry["principal"], entry["authorized"])
                          for entry in log["requests"]], [
            ("STS.AssumeRole", "AKIDEXAMPLE", user, True), ("ListEngineVersions", self.keys(result)[0], role, True),
            ("STS.AssumeRoleWithWebIdentity", None, None, True), ("S3.GetObject", "AKIDOTHER", None, False),
            ("STS.GetCallerIdentity", "AKIDEXAMPLE", user, False), ("ListEngineVersions", self.keys(result)[0], role, False)])
        whole = json.dumps(log)
        for secret in (token, *self.keys(result)[1:], CONTAINER_TOKEN):
            self.assertNotIn(secret, whole)
        self.assertEqual(log["requests"][1]["headers"]["x-amz-security-token"], self.digest(self.keys(result)[2]))
        self.assertIn("&WebIdentityToken=" + self.digest(token), log["requests"][2]["body"])
        self.assertIn("AWS4-HMAC-SHA256 Credential=", log["requests"][1]["headers"]["authorization"])

    @unittest.skipIf(boto3 is None, "boto3 is not installed for this Python")
    def test_boto3(self):
        session = boto3.Session(*self.client.keys[:2], region_name="us-east-1")
        sts = session.client("sts", endpoint_url=self.emulator.url)
        self.addCleanup(sts.close)
        issued = sts.assume_role(RoleArn=STRICT_ROLE, RoleSessionName="nightly", ExternalId=EXTERNAL_ID)["Credentials"]
        self.assertEqual(self.works(issued["AccessKeyId"], issued["SecretAccessKey"], issued["SessionToken"]), self.ACCEPTED)
        self.assertEqual(sts.get_caller_identity()["Arn"], "arn:aws:iam::123456789012:user/emulator")
        issued = sts.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="pod", WebIdentityToken=web_identity())
        self.assertGreater(issued["Credentials"]["Expiration"], datetime.datetime.now(datetime.timezone.utc))


class Metadata(CredentialsTest):

    ROLES = "/latest/meta-data/iam/security-credentials/"

    def get(self, path, token=None, method="GET", **headers):
        headers = {"host": self.client.netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token is not None:
            headers["x-aws-ec2-metadata-token"] = token
        return self.client.send(method, path, headers)

    def token(self, ttl="60"):
        return self.get("/latest/api/token", method="PUT", x_aws_ec2_metadata_token_ttl_seconds=ttl)

    def instance(self):
        """The credentials that the metadata gives."""
        token = self.token().body.decode()
        return self.get(self.ROLES + self.get(self.ROLES, token).body.decode(), token).json

    def container(self):
        """The credentials that the container endpoint gives."""
        return self.get("/v1/credentials", authorization=CONTAINER_TOKEN).json

    def test_credentials(self):
        token = self.token()
        self.assertEqual(token.headers["x-aws-ec2-metadata-token-ttl-seconds"], "60")
        token = token.body.decode()
        role = self.get(self.ROLES, token).body.decode()
        got = self.get(self.ROLES + role, token).json
        self.assertEqual(got["Code"], "Success")
        self.assertEqual(self.works(got["AccessKeyId"], got["SecretAccessKey"], got["Token"]), self.ACCEPTED)
        self.assertEqual(self.get(self.ROLES + role, token).json["AccessKeyId"], got["AccessKeyId"])
        self.assertEqual(self.get(self.ROLES + "other", token).status, 404)

    def test_tokens(self):
        for token in (None, "wrong"):
            self.assertEqual(self.get(self.ROLES, token).status, 401)
        for ttl in ("", "0", "21601", "x"):
            self.assertEqual(self.token(ttl).status, 400)
        self.assertEqual(self.get("/latest/api/token", method="PUT", x_forwarded_for="1.2.3.4",
                                  x_aws_ec2_metadata_token_ttl_seconds="60").status, 403)
        self.assertEqual(self.get("/latest/api/token").status, 405)
        self.assertEqual(self.get("/latest/api/token", method="PUT").status, 400)
        token = self.token().body.decode()
        self.settings(clock_offset_seconds=61)
        self.assertEqual(self.get(self.ROLES, token).status, 401)

    def test_where_the_instance_is(self):
        token = self.token().body.decode()
        placement = "/latest/meta-data/placement/"
        self.assertEqual(self.get(placement + "region", token).body, b"us-east-1")
        for name in ("availability-zone", "availability-zone/"):
            self.assertEqual(self.get(placement + name, token).body, b"us-east-1a")
        self.assertEqual(self.get(placement + "nowhere", token).status, 404)
        self.assertEqual(self.get("/latest/dynamic/instance-identity/document", token).json["region"], "us-east-1")

    def test_credentials_are_replaced(self):
        self.settings(credential_lifetime_seconds=0.4)
        token = self.token().body.decode()
        path = self.ROLES + self.get(self.ROLES, token).body.decode()
        first = self.get(path, token).json
        time.sleep(0.5)
        self.assertEqual(self.works(first["AccessKeyId"], first["SecretAccessKey"], first["Token"]), self.EXPIRED)
        self.assertNotEqual(self.get(path, token).json["AccessKeyId"], first["AccessKeyId"])

    def test_they_stay_the_same_until_shortly_before_their_end(self):
        for ask, margin in ((self.instance, 300), (self.container, 300)):
            self.client.control("POST", "reset")
            first = ask()
            for offset, same in ((6 * 3600 - margin - 60, True), (6 * 3600 - margin + 60, False)):
                self.settings(clock_offset_seconds=offset)
                self.assertEqual(ask()["AccessKeyId"] == first["AccessKeyId"], same, offset)

    def test_short_lives(self):
        self.assertNotEqual(self.instance()["AccessKeyId"], self.container()["AccessKeyId"])
        for ask in (self.instance, self.container):
            long = ask()
            # What was issued for longer gives way at once.
            self.settings(credential_lifetime_seconds=2)
            begun = time.monotonic()
            first = ask()
            self.assertNotEqual(first["AccessKeyId"], long["AccessKeyId"])
            self.assertEqual(ask()["AccessKeyId"], first["AccessKeyId"])
            expires = datetime.datetime.strptime(first["Expiration"] + "+0000", "%Y-%m-%dT%H:%M:%SZ%z").timestamp()
            self.assertTrue(time.time() < expires + 1 and expires <= time.time() + 2, first["Expiration"])
            time.sleep(max(0, begun + 1.3 - time.monotonic()))
            second = ask()
            self.assertNotEqual(second["AccessKeyId"], first["AccessKeyId"])
            self.assertEqual(self.works(first["AccessKeyId"], first["SecretAccessKey"], first["Token"]), self.ACCEPTED)
            time.sleep(max(0, begun + 2.1 - time.monotonic()))
            self.assertEqual(self.works(first["AccessKeyId"], first["SecretAccessKey"], first["Token"]), self.EXPIRED)
            self.assertEqual(self.works(second["AccessKeyId"], second["SecretAccessKey"], second["Token"]), self.ACCEPTED)
            self.settings(credential_lifetime_seconds=None)

    def test_they_can_be_stale(self):
        self.settings(credential_lifetime_seconds=0.4)
        first = self.instance()
        self.settings(metadata_stale=True)
        time.sleep(0.5)
        stale = self.instance()
        self.assertEqual(stale, first)
        self.assertEqual(self.works(stale["AccessKeyId"], stale["SecretAccessKey"], stale["Token"]), self.EXPIRED)
        # A service that takes them for a while yet.
        self.settings(clock_offset_seconds=-60)
        self.assertEqual(self.works(stale["AccessKeyId"], stale["SecretAccessKey"], stale["Token"]), self.ACCEPTED)
        self.settings(clock_offset_seconds=0, metadata_stale=False)
        self.assertNotEqual(self.instance()["AccessKeyId"], first["AccessKeyId"])

    def test_whose_they_are(self):
        token = self.token().body.decode()
        self.assertEqual(self.get(self.ROLES, token).body, b"AthenaEmulatorRole")
        self.assertEqual(self.identity(self.instance()),
                         "arn:aws:sts::123456789012:assumed-role/AthenaEmulatorRole/i-0123456789abcdef0")
        got = self.container()
        self.assertEqual(got["RoleArn"], "arn:aws:iam::123456789012:role/AthenaEmulatorContainerRole")
        self.assertEqual(self.identity(got),
                         "arn:aws:sts::123456789012:assumed-role/AthenaEmulatorContainerRole/container")

    def test_the_log_has_no_tokens(self):
        token = self.token().body.decode()
        self.get(self.ROLES, token)
        self.container()
        log = self.log()["requests"]
        self.assertEqual([(entry["access_key_id"], entry["principal"]) for entry in log], [(None, None)] * 3)
        self.assertEqual(log[1]["headers"]["x-aws-ec2-metadata-token"], self.digest(token))
        self.assertEqual(log[2]["headers"]["authorization"], self.digest(CONTAINER_TOKEN))

    def test_head(self):
        token = self.token().body.decode()
        self.assertEqual(self.get(self.ROLES, token, "HEAD").headers["content-length"], "18")
        self.assertEqual(self.get(self.ROLES, token).status, 200)

    def test_the_container(self):
        for token, status in ((None, 401), ("wrong", 401), (CONTAINER_TOKEN, 200)):
            answer = self.get("/v1/credentials", **({"authorization": token} if token else {}))
            self.assertEqual(answer.status, status)
        got = answer.json
        self.assertEqual(self.works(got["AccessKeyId"], got["SecretAccessKey"], got["Token"]), self.ACCEPTED)
        self.assertEqual(self.log()["requests"][0]["operation"], "Container.Credentials")

    @unittest.skipIf(boto3 is None, "boto3 is not installed for this Python")
    def test_botocores_own_clients(self):
        got = utils.InstanceMetadataFetcher(base_url=self.emulator.url).retrieve_iam_role_credentials()
        self.assertEqual(self.works(got["access_key"], got["secret_key"], got["token"]), self.ACCEPTED)
        got = utils.ContainerMetadataFetcher().retrieve_full_uri(
            self.emulator.url + "/v1/credentials", {"Authorization": CONTAINER_TOKEN})
        self.assertEqual(self.works(got["AccessKeyId"], got["SecretAccessKey"], got["Token"]), self.ACCEPTED)


class WithoutThem(EmulatorTest):

    def test_these_paths_are_s3s_then(self):
        for path in ("/latest/api/token", "/v1/credentials"):
            self.assertEqual(self.client.s3("PUT", path, b"").status, 404)
        answer = self.client.send("PUT", "/latest/api/token", {"host": self.client.netloc})
        self.assertEqual(answer.status, 403)


if __name__ == "__main__":
    unittest.main()
