"""Every operation through boto3, as a user's own program would call it."""

import io
import time
import unittest
import uuid

from client import ACCESS_KEY, BUCKET, SECRET_KEY, EmulatorTest
from emulator import model

try:
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore import xform_name
    from botocore.config import Config
    from botocore.exceptions import ClientError, FlexibleChecksumError
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

    def test_lists_with_pages(self):
        keys = sorted("folder/%s%d" % (name, number) for name in ("a b+", "<&>", "ü") for number in range(3))
        for key in keys:
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="folder/",
                                                                 PaginationConfig={"PageSize": 2})
        self.assertEqual([item["Key"] for page in pages for item in page["Contents"]], keys)
        page = self.s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")
        self.assertEqual([item["Prefix"] for item in page["CommonPrefixes"]], ["folder/"])
        answer = self.s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
        self.assertEqual(sorted(item["Key"] for item in answer["Deleted"]), keys)
        self.assertEqual(self.s3.list_objects_v2(Bucket=BUCKET)["KeyCount"], 0)

    def test_a_large_file(self):
        content = b"0123456789abcdef" * (11 * 1024 * 1024 // 16)
        config = TransferConfig(multipart_threshold=5 * 1024 * 1024, multipart_chunksize=5 * 1024 * 1024)
        self.s3.upload_fileobj(io.BytesIO(content), BUCKET, "large", Config=config)
        got = self.s3.get_object(Bucket=BUCKET, Key="large")
        self.assertEqual(got["Body"].read(), content)
        self.assertTrue(got["ETag"].endswith('-3"'))
        self.assertTrue(got["ChecksumCRC32"])
        names = [entry["operation"] for entry in self.log()["requests"]]
        self.assertEqual((names[0], names[1:4], names[4]),
                         ("S3.CreateMultipartUpload", ["S3.UploadPart"] * 3, "S3.CompleteMultipartUpload"))
        self.s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "large"})
        self.assertEqual(self.s3.head_object(Bucket=BUCKET, Key="copy")["ContentLength"], len(content))

    def test_parts_by_hand(self):
        upload = {"Bucket": BUCKET, "Key": "parts"}
        upload["UploadId"] = self.s3.create_multipart_upload(**upload, ChecksumAlgorithm="SHA256")["UploadId"]
        part = self.s3.upload_part(**upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256")
        self.assertEqual([item["ETag"] for item in self.s3.list_parts(**upload)["Parts"]], [part["ETag"]])
        uploads = self.s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
        self.assertEqual([(item["Key"], item["UploadId"], item["ChecksumAlgorithm"]) for item in uploads],
                         [("parts", upload["UploadId"], "SHA256")])
        chosen = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]}
        wrong = {"Parts": [{**chosen["Parts"][0], "ETag": '"0"'}]}
        self.assertEqual(self.error(self.s3.complete_multipart_upload, **upload, MultipartUpload=wrong)["Error"]["Code"],
                         "InvalidPart")
        done = self.s3.complete_multipart_upload(**upload, MultipartUpload=chosen, IfNoneMatch="*")
        self.assertTrue(done["ChecksumSHA256"].endswith("-1"))
        self.assertNotIn("Uploads", self.s3.list_multipart_uploads(Bucket=BUCKET))
        self.assertEqual(self.error(self.s3.abort_multipart_upload, **upload)["Error"]["Code"], "NoSuchUpload")

    def test_a_checksum_that_is_wrong(self):
        self.s3.put_object(Bucket=BUCKET, Key="key", Body=b"content")
        self.assertEqual(self.s3.get_object(Bucket=BUCKET, Key="key")["Body"].read(), b"content")
        self.faults({"operation": "S3.GetObject", "set_headers": {"x-amz-checksum-crc32": "AAAAAA=="}})
        with self.assertRaises(FlexibleChecksumError):
            self.s3.get_object(Bucket=BUCKET, Key="key")["Body"].read()

    def test_conditions(self):
        etag = self.s3.put_object(Bucket=BUCKET, Key="key", Body=b"1", IfNoneMatch="*")["ETag"]
        for members in ({"IfNoneMatch": "*"}, {"IfMatch": '"0"'}):
            response = self.error(self.s3.put_object, Bucket=BUCKET, Key="key", Body=b"2", **members)
            self.assertEqual(response["Error"]["Code"], "PreconditionFailed")
        self.s3.put_object(Bucket=BUCKET, Key="key", Body=b"2", IfMatch=etag)
        self.assertEqual(self.error(self.s3.get_object, Bucket=BUCKET, Key="key", IfMatch=etag)["ResponseMetadata"]
                         ["HTTPStatusCode"], 412)

    def test_buckets_and_regions(self):
        self.s3.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        self.assertEqual(self.s3.get_bucket_location(Bucket="elsewhere")["LocationConstraint"], "eu-west-1")
        self.assertIsNone(self.s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"])
        self.assertEqual([item["Name"] for item in self.s3.list_buckets()["Buckets"]], [BUCKET, "elsewhere"])
        # boto3 learns the region from the answer and signs anew.
        self.s3.put_object(Bucket="elsewhere", Key="key", Body=b"x")
        self.assertEqual([(entry["operation"], entry["status"]) for entry in self.log()["requests"]][-2:],
                         [("S3.PutObject", 301), ("S3.PutObject", 200)])
        self.assertEqual(self.error(self.s3.delete_bucket, Bucket="elsewhere")["Error"]["Code"], "BucketNotEmpty")
        self.s3.delete_object(Bucket="elsewhere", Key="key")
        self.s3.delete_bucket(Bucket="elsewhere")

    def test_every_operation_is_driven_and_fails_as_the_model_says(self):
        session = self.idle_session()
        calculation = self.athena.start_calculation_execution(SessionId=session, CodeBlock="1")["CalculationExecutionId"]
        self.ended(calculation)
        known = {"SessionId": session, "CalculationExecutionId": calculation, "WorkGroup": "spark",
                 "NotebookId": str(uuid.uuid4()), "EngineConfiguration": {}, "CodeBlock": "1"}
        for operation in sorted(model.INPUTS, key=lambda name: (name == "TerminateSession", name)):
            with self.subTest(operation):
                call = getattr(self.athena, xform_name(operation))
                described = self.athena.meta.service_model.operation_model(operation)
                modelled = tuple(self.athena.exceptions.from_code(shape.name) for shape in described.error_shapes)
                required = described.input_shape.required_members
                members = {name: known[name] for name in required}
                if operation == "StartCalculationExecution":
                    members["CodeBlock"] = "1"
                answer = call(**members)
                for name in described.output_shape.required_members:
                    self.assertIn(name, answer)
                if required and required[0] != "NotebookId":
                    with self.assertRaises(modelled) as raised:
                        call(**{**members, required[0]: "nowhere"})
                    self.assertEqual(raised.exception.response["ResponseMetadata"]["HTTPStatusCode"], 400)
        self.assertEqual({entry["operation"] for entry in self.log()["requests"]}, set(model.INPUTS))

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
