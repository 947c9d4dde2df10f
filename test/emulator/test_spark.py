"""spark and the cells' magics. What needs a real SparkSession is skipped without pyspark and Java."""

import gzip
import importlib.util
import json
import os
import shutil
import sys
import unittest
from urllib.parse import quote

from client import BUCKET, ENDED, EmulatorTest
from emulator import markup

HAS_PYSPARK = importlib.util.find_spec("pyspark") is not None
HAS_JAVA = shutil.which("java") is not None or "JAVA_HOME" in os.environ


class Cells(EmulatorTest):

    def setUp(self):
        super().setUp()
        self.session = self.start_session()

    def run_here(self, code):
        return self.run_code(self.session, code)

    def test_pyspark_cells_are_python(self):
        self.run_here("%%pyspark\nx = 6\ny = 7")
        self.assertEqual(self.output(self.run_here("print(x * y)")), "42\n")
        failed = self.run_here("%%pyspark\n\n1 / 0")
        self.assertIn("line 3", self.output(failed, "stderr"))

    def test_other_magics_are_refused(self):
        self.assertEqual(self.run_here("%%bash\nls")["Status"]["StateChangeReason"],
                         "ValueError: a cell may begin with %%pyspark or %%sql, not with %%bash")

    def test_a_spark_of_the_codes_own_comes_first(self):
        self.run_here("spark = 5\ndef f():\n    return spark + len('ab')")
        self.assertEqual(self.output(self.run_here("print(spark, f())")), "5 7\n")

    def test_built_in_names_are_found(self):
        self.run_here("import builtins\nbuiltins.added = 1\nclass C:\n    pass")
        self.assertEqual(self.output(self.run_here("print(added, len(C.__name__))")), "1 1\n")
        self.assertEqual(self.run_here("nothing_of_that_name")["Status"]["StateChangeReason"],
                         "NameError: name 'nothing_of_that_name' is not defined")

    @unittest.skipIf(HAS_PYSPARK, "pyspark is installed for this Python")
    def test_without_pyspark(self):
        for code in ("x = 1\nspark.range(3)", "%%sql\nSELECT 1"):
            status = self.run_here(code)["Status"]
            self.assertEqual(status["State"], "FAILED")
            self.assertIn("RuntimeError: spark needs pyspark, which this session's Python (%s) does not have: install "
                          "pyspark for it" % sys.executable, status["StateChangeReason"])
        self.assertEqual(self.run_here("1")["Status"]["State"], "COMPLETED")


@unittest.skipUnless(HAS_PYSPARK, "pyspark is not installed for this Python")
@unittest.skipUnless(HAS_JAVA, "there is no Java")
class Spark(EmulatorTest):

    def test_a_session(self):
        session = self.start_session(EngineConfiguration={"SparkProperties": {"spark.sql.shuffle.partitions": "3"}})
        calculation = self.start(session, "frame = spark.range(4).selectExpr('id', 'id * id AS square')\n"
                                 "frame.createOrReplaceTempView('squares')\nprint(type(spark).__name__, frame.count())\n"
                                 "print(spark.conf.get('spark.sql.shuffle.partitions'))")
        self.until(lambda: self.calculation_state(calculation), ("COMPLETED", "FAILED"), 300)
        got = self.call("GetCalculationExecution", CalculationExecutionId=calculation)
        self.assertEqual(got["Status"]["State"], "COMPLETED", got["Status"])
        self.assertEqual(self.output(got), "SparkSession 4\n3\n")

        def ended(code):
            calculation = self.start(session, code)
            self.until(lambda: self.calculation_state(calculation), ("COMPLETED", "FAILED"), 300)
            return self.call("GetCalculationExecution", CalculationExecutionId=calculation)

        self.assertEqual(self.output(ended("%%sql\nSELECT square FROM squares WHERE id > 1 ORDER BY id")),
                         "+------+\n|square|\n+------+\n|     4|\n|     9|\n+------+\n\n")
        self.assertIn("nowhere", ended("%%sql\nSELECT * FROM nowhere")["Status"]["StateChangeReason"])
        # A stop reaches Spark's jobs, and the session goes on with its variables.
        calculation = self.start(session, "import time\nspark.sparkContext.parallelize([1]).foreach(lambda x: time.sleep(60))")
        self.until(lambda: self.calculation_state(calculation), ("RUNNING",))
        self.call("StopCalculationExecution", CalculationExecutionId=calculation)
        self.until(lambda: self.calculation_state(calculation), ("CANCELED",), 10)
        self.assertEqual(self.output(ended("print(frame.count())")), "4\n")


@unittest.skipUnless(HAS_PYSPARK, "pyspark is not installed for this Python")
@unittest.skipUnless(HAS_JAVA, "there is no Java")
class SparkAndObjects(EmulatorTest):
    """What Spark writes to s3:// and reads from it. One session for all: Java takes its time to start."""

    def setUp(self):
        super().setUp()
        self.session = self.start_session()

    def run_here(self, code):
        """What the code prints."""
        calculation = self.start(self.session, code)
        self.until(lambda: self.calculation_state(calculation), ENDED, 300)
        got = self.call("GetCalculationExecution", CalculationExecutionId=calculation)
        self.assertEqual(got["Status"]["State"], "COMPLETED", got["Status"].get("StateChangeReason"))
        return self.output(got)

    def put(self, key, content, bucket=BUCKET):
        self.assertEqual(self.client.s3("PUT", "/%s/%s" % (bucket, quote(key)), content).status, 200)

    def objects(self, prefix, bucket=BUCKET):
        """Key and content of all objects under a prefix."""
        listed = markup.parsed(self.client.s3("GET", "/%s?list-type=2&prefix=%s" % (bucket, quote(prefix, safe=""))).body,
                               "ListBucketResult")
        keys = [item.findtext("Key") for item in listed.findall("Contents")]
        return {key: self.client.s3("GET", "/%s/%s" % (bucket, quote(key))).body for key in keys}

    def data(self, prefix, ending, **options):
        """The content of Spark's data objects under a prefix, in name order; nothing but them and _SUCCESS is there."""
        found = self.objects(prefix, **options)
        self.assertEqual(found.pop(prefix + "_SUCCESS"), b"")
        for key in found:
            self.assertRegex(key, "^%spart-[0-9a-f-]+[.-]c000.%s$" % (prefix, ending))
        return [content for _, content in sorted(found.items())]

    def test_everything(self):
        self.put("in/1.csv", b'1,"a, \\"b\\""\n2,c\n')
        self.put("in/2.csv.gz", gzip.compress(b"3,\n"))
        # What no path of Spark's can say is not in its way.
        self.put("in//4.csv", b"4,d\n")
        self.put("in/folder/", b"")
        self.put("in/_hidden", b"5,e\n")
        text = self.run_here("""
frame = spark.read.schema("id int, t string").csv("s3://%s/in/")
print(sorted((row.id, row.t) for row in frame.collect()))
print(spark.read.csv("s3a://%s/in/*.gz").count())
frame = frame.orderBy("id").coalesce(1)""" % (BUCKET, BUCKET))
        self.assertEqual(text, "[(1, 'a, \"b\"'), (2, 'c'), (3, None)]\n1\n")

        with self.subTest("formats"):
            self.run_here("""
frame.write.csv("s3://%s/out/csv", header=True)
frame.write.json("s3://%s/out/json/", compression="gzip")
frame.write.parquet("s3://%s/out/parquet")""" % (BUCKET, BUCKET, BUCKET))
            self.assertEqual(self.data("out/csv/", "csv"), [b'id,t\n1,"a, \\"b\\""\n2,c\n3,\n'])
            lines = gzip.decompress(self.data("out/json/", "json.gz")[0]).decode().splitlines()
            self.assertEqual([json.loads(line) for line in lines],
                             [{"id": 1, "t": 'a, "b"'}, {"id": 2, "t": "c"}, {"id": 3}])
            self.assertEqual(self.data("out/parquet/", "snappy.parquet")[0][:4], b"PAR1")
            self.assertEqual(self.run_here("""
for format in ("json", "parquet"):
    print(spark.read.format(format).load("s3://%s/out/" + format).orderBy("id").collect() == frame.collect())""" % BUCKET),
                             "True\nTrue\n")

        with self.subTest("modes"):
            self.run_here("frame.limit(1).write.mode('overwrite').csv('s3://%s/out/csv')" % BUCKET)
            self.assertEqual(self.data("out/csv/", "csv"), [b'1,"a, \\"b\\""\n'])
            self.run_here("frame.where('id = 2').write.mode('append').csv('s3://%s/out/csv')" % BUCKET)
            self.assertEqual(sorted(self.data("out/csv/", "csv")), [b'1,"a, \\"b\\""\n', b"2,c\n"])
            self.assertIn("already exists", self.run_here("""
try:
    frame.write.csv("s3://%s/out/csv")
except Exception as error:
    print(error)""" % BUCKET))
            # A folder whose objects another client has deleted is gone.
            for key in self.objects("out/csv/"):
                self.client.s3("DELETE", "/%s/%s" % (BUCKET, key))
            self.run_here("frame.write.csv('s3://%s/out/csv')" % BUCKET)

        with self.subTest("names"):
            self.run_here("""frame.selectExpr("t", "concat('p+ %%/ü=', id) p").where("id < 3").write.partitionBy("p").csv(
    "s3://%s/out/a b+%%ü=/")""" % BUCKET)
            self.assertEqual([key.rpartition("/")[0] for key in self.objects("out/a b")],
                             ["out/a b+%ü=", "out/a b+%ü=/p=p+ %25%2Fü%3D1", "out/a b+%ü=/p=p+ %25%2Fü%3D2"])
            self.assertEqual(self.run_here("""
print(sorted(row.p for row in spark.read.csv("s3://%s/out/a b+%%ü=/").collect()))""" % BUCKET),
                             "['p+ %/ü=1', 'p+ %/ü=2']\n")

        with self.subTest("a bucket made after Spark had started"):
            self.assertEqual(self.client.s3("PUT", "/afterwards").status, 200)
            self.put("text", b"hello\n", "afterwards")
            self.assertEqual(self.run_here("""
print(spark.sparkContext.textFile("s3://afterwards/text").collect())
spark.sql("CREATE TABLE t USING csv LOCATION 's3://afterwards/t/' AS SELECT 1 a")
spark.sql("INSERT OVERWRITE t SELECT 2")"""), "['hello']\n")
            self.assertEqual(self.data("t/", "csv", bucket="afterwards"), [b"2\n"])


if __name__ == "__main__":
    unittest.main()
