"""Every operation through boto3, as a user's own program would call it."""

import time
import unittest
import uuid

from client import ACCESS_KEY, BUCKET, SECRET_KEY, EmulatorTest

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError:
    boto3 = None


@unittest.skipIf(boto3 is None, "boto3 is not installed for this Python")
class Boto3(EmulatorTest):

    # An emulator apart from that of the other tests, some of which count connections: boto3 keeps its own open.
    OPTIONS = ("--region", "us-east-1")

    def setUp(self):
        super().setUp()
        options = {"endpoint_url": self.emulator.url, "region_name": "us-east-1", "aws_access_key_id": ACCESS_KEY,
                   "aws_secret_access_key": SECRET_KEY, "verify": self.emulator.authority}
        self.athena = boto3.client("athena", config=Config(retries={"mode": "standard", "max_attempts": 3}), **options)
        self.s3 = boto3.client("s3", **options)
        self.addCleanup(self.athena.close)
        self.addCleanup(self.s3.close)

    def idle_session(self, **members):
        session = self.athena.start_session(**{"WorkGroup": "spark", "EngineConfiguration": {"MaxConcurrentDpus": 3},
                                               **members})["SessionId"]
        while self.athena.get_session_status(SessionId=session)["Status"]["State"] != "IDLE":
            time.sleep(0.01)
        return session

    def ended(self, calculation):
        while True:
            got = self.athena.get_calculation_execution(CalculationExecutionId=calculation)
            if got["Status"]["State"] in ("COMPLETED", "FAILED", "CANCELED"):
                return got
            time.sleep(0.01)

    def error(self, call, **members):
        with self.assertRaises(ClientError) as raised:
            call(**members)
        return raised.exception.response

    def test_sessions(self):
        session = self.idle_session(Description="d")
        self.assertEqual(self.athena.get_session(SessionId=session)["Description"], "d")
        self.assertEqual(self.athena.list_sessions(WorkGroup="spark")["Sessions"][0]["SessionId"], session)
        executors = self.athena.list_executors(SessionId=session)
        self.assertEqual(len(executors["ExecutorsSummary"]), 3)
        self.assertEqual(self.athena.list_notebook_sessions(NotebookId=str(uuid.uuid4()))["NotebookSessionsList"], [])
        self.assertEqual(self.athena.terminate_session(SessionId=session)["State"], "TERMINATING")

    def test_a_calculation_and_its_results(self):
        session = self.idle_session()
        started = self.athena.start_calculation_execution(SessionId=session, CodeBlock="print('0123456789')")
        calculation = started["CalculationExecutionId"]
        got = self.ended(calculation)
        self.assertEqual(got["Status"]["State"], "COMPLETED")
        self.assertIsNotNone(got["Status"]["CompletionDateTime"].tzinfo)
        status = self.athena.get_calculation_execution_status(CalculationExecutionId=calculation)
        self.assertEqual(status["Status"], got["Status"])
        code = self.athena.get_calculation_execution_code(CalculationExecutionId=calculation)
        self.assertEqual(code["CodeBlock"], "print('0123456789')")
        self.assertEqual(self.athena.stop_calculation_execution(CalculationExecutionId=calculation)["State"], "COMPLETED")
        listed = self.athena.list_calculation_executions(SessionId=session, StateFilter="COMPLETED")["Calculations"]
        self.assertEqual([item["CalculationExecutionId"] for item in listed], [calculation])
        bucket, _, key = got["Result"]["StdOutS3Uri"][len("s3://"):].partition("/")
        self.assertEqual(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read(), b"0123456789\n")
        part = self.s3.get_object(Bucket=bucket, Key=key, Range="bytes=2-4")
        self.assertEqual((part["Body"].read(), part["ContentRange"]), (b"234", "bytes 2-4/11"))

    def test_code_that_calls_boto3_itself(self):
        calculation = self.athena.start_calculation_execution(SessionId=self.idle_session(), CodeBlock="""
import boto3
boto3.client('s3').put_object(Bucket='%s', Key='from/inside', Body=b'42')""" % BUCKET)
        got = self.ended(calculation["CalculationExecutionId"])
        self.assertEqual(got["Status"]["State"], "COMPLETED", got["Status"].get("StateChangeReason"))
        self.assertEqual(self.s3.get_object(Bucket=BUCKET, Key="from/inside")["Body"].read(), b"42")

    def test_the_service(self):
        self.assertEqual(len(self.athena.list_engine_versions()["EngineVersions"]), 2)
        sizes = self.athena.list_application_dpu_sizes()["ApplicationDPUSizes"]
        self.assertEqual(sizes[0]["SupportedDPUSizes"], [1])
        self.assertEqual(self.athena.get_work_group(WorkGroup="spark")["WorkGroup"]["State"], "ENABLED")
        self.assertEqual(len(self.athena.list_work_groups()["WorkGroups"]), 3)

    def test_errors(self):
        response = self.error(self.athena.get_session, SessionId="nowhere")
        self.assertEqual((response["Error"]["Code"], response["AthenaErrorCode"]), ("InvalidRequestException", "INVALID_INPUT"))
        self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], 400)
        self.assertTrue(response["ResponseMetadata"]["RequestId"])
        session = self.idle_session()
        self.athena.start_calculation_execution(SessionId=session, CodeBlock="import time; time.sleep(60)")
        response = self.error(self.athena.start_calculation_execution, SessionId=session, CodeBlock="1")
        self.assertIn("Session is in the BUSY state", response["Error"]["Message"])
        self.assertEqual(self.error(self.athena.list_databases, CatalogName="x")["Error"]["Code"],
                         "UnknownOperationException")

    def test_errors_of_s3(self):
        self.assertEqual(self.error(self.s3.get_object, Bucket=BUCKET, Key="nowhere")["Error"]["Code"], "NoSuchKey")
        self.assertEqual(self.error(self.s3.get_object, Bucket="no-bucket", Key="x")["Error"]["Code"], "NoSuchBucket")
        self.assertEqual(self.error(self.s3.head_object, Bucket=BUCKET, Key="nowhere")["Error"]["Code"], "404")

    def test_objects(self):
        for key in ("plain", "a b/ü+..%20", "../up"):
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"content", ContentType="text/csv", Metadata={"a": "b"})
            got = self.s3.get_object(Bucket=BUCKET, Key=key)
            self.assertEqual((got["Body"].read(), got["ContentType"], got["Metadata"]), (b"content", "text/csv", {"a": "b"}))
            self.assertEqual(self.s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"], 7)
            self.s3.delete_object(Bucket=BUCKET, Key=key)
            self.assertEqual(self.error(self.s3.get_object, Bucket=BUCKET, Key=key)["Error"]["Code"], "NoSuchKey")
        self.s3.create_bucket(Bucket="another")
        self.s3.head_bucket(Bucket="another")

    def test_retries(self):
        self.faults({"operation": "ListEngineVersions", "error": "ThrottlingException", "message": "Rate exceeded"},
                    {"operation": "ListEngineVersions", "drop": "after"})
        answer = self.athena.list_engine_versions()
        self.assertEqual(answer["ResponseMetadata"]["RetryAttempts"], 2)
        self.assertEqual([entry["authorized"] for entry in self.log()["requests"]], [True] * 3)

    def test_without_a_token_of_its_own_a_lost_answer_starts_two_calculations(self):
        session = self.idle_session()
        self.faults({"operation": "StartSession", "drop": "after"})
        self.athena.start_session(WorkGroup="primary", EngineConfiguration={})
        self.assertEqual(len(self.athena.list_sessions(WorkGroup="primary")["Sessions"]), 2)
        self.athena.terminate_session(SessionId=session)


class Boto3OverTls(Boto3):

    OPTIONS = ("--region", "us-east-1", "--tls")


if __name__ == "__main__":
    unittest.main()
