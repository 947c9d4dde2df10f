"""spark and the cells' magics. What needs a real SparkSession is skipped without pyspark and Java."""

import importlib.util
import os
import shutil
import sys
import unittest

from client import EmulatorTest

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
        self.until(lambda: self.calculation_state(calculation), ("COMPLETED", "FAILED"), 120)
        got = self.call("GetCalculationExecution", CalculationExecutionId=calculation)
        self.assertEqual(got["Status"]["State"], "COMPLETED", got["Status"])
        self.assertEqual(self.output(got), "SparkSession 4\n3\n")

        def ended(code):
            calculation = self.start(session, code)
            self.until(lambda: self.calculation_state(calculation), ("COMPLETED", "FAILED"), 60)
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


if __name__ == "__main__":
    unittest.main()
