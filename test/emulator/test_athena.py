"""Athena's operations, states and errors."""

import json
import os
import subprocess
import sys
import time
import unittest
import uuid

from client import ENDED, ROOT, EmulatorTest


class Sessions(EmulatorTest):

    def test_states_in_order(self):
        self.settings(session_start_seconds=0.3)
        started = self.call("StartSession", WorkGroup="spark", EngineConfiguration={})
        self.assertEqual(started["State"], "CREATING")
        session = started["SessionId"]
        self.assertEqual(self.until(lambda: self.session_state(session), ("IDLE",)), ["CREATING", "CREATED", "IDLE"])
        calculation = self.start(session, "import time; time.sleep(0.1)")
        self.assertEqual(self.until(lambda: self.session_state(session), ("IDLE",)), ["BUSY", "IDLE"])
        self.assertEqual(self.calculation_state(calculation), "COMPLETED")
        self.assertEqual(self.call("TerminateSession", SessionId=session), {"State": "TERMINATING"})
        self.assertEqual(self.until(lambda: self.session_state(session), ("TERMINATED",))[-1], "TERMINATED")

    def test_what_get_session_shows(self):
        session = self.start_session(Description="nightly", SessionIdleTimeoutInMinutes=7,
                                     EngineConfiguration={"MaxConcurrentDpus": 3, "SparkProperties": {"a": "b"}})
        shown = self.call("GetSession", SessionId=session)
        self.assertEqual(shown["Description"], "nightly")
        self.assertEqual(shown["WorkGroup"], "spark")
        self.assertEqual(shown["EngineVersion"], "PySpark engine version 3")
        self.assertEqual(shown["EngineConfiguration"], {"CoordinatorDpuSize": 1, "DefaultExecutorDpuSize": 1,
                                                        "MaxConcurrentDpus": 3, "SparkProperties": {"a": "b"}})
        self.assertEqual(shown["SessionConfiguration"]["SessionIdleTimeoutInMinutes"], 7)
        self.assertEqual(shown["SessionConfiguration"]["IdleTimeoutSeconds"], 420)
        status = shown["Status"]
        self.assertEqual(status["State"], "IDLE")
        self.assertNotIn("EndDateTime", status)
        self.assertAlmostEqual(status["StartDateTime"], time.time(), delta=10)
        self.assertLessEqual(status["StartDateTime"], status["IdleSinceDateTime"])
        self.assertEqual(round(status["StartDateTime"], 3), status["StartDateTime"])

    def test_terminating_kills_and_can_be_repeated(self):
        session = self.start_session()
        calculation = self.start(session, "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
        self.until(lambda: self.calculation_state(calculation), ("RUNNING",))
        time.sleep(0.3)  # until the code has printed
        self.call("TerminateSession", SessionId=session)
        self.until(lambda: self.session_state(session), ("TERMINATED",), 3)
        self.assertEqual(self.call("TerminateSession", SessionId=session), {"State": "TERMINATED"})
        status = self.call("GetSessionStatus", SessionId=session)["Status"]
        self.assertEqual(status["StateChangeReason"], "Session was terminated per request")
        self.assertIn("EndDateTime", status)
        ended = self.call("GetCalculationExecution", CalculationExecutionId=calculation)
        self.assertEqual(ended["Status"]["State"], "FAILED")
        with self.assertRaises(ProcessLookupError):
            os.kill(int(self.output(ended)), 0)
        error = self.refused("StartCalculationExecution", {"SessionId": session, "CodeBlock": "1"})
        self.assertEqual(error.message, "Session is in the TERMINATED state; needs to be IDLE to accept Calculations.")

    def test_terminating_before_it_has_started(self):
        self.settings(session_start_seconds=30)
        session = self.call("StartSession", WorkGroup="spark", EngineConfiguration={})["SessionId"]
        error = self.refused("StartCalculationExecution", {"SessionId": session, "CodeBlock": "1"})
        self.assertEqual(error.message, "Session is in the CREATING state; needs to be IDLE to accept Calculations.")
        self.call("TerminateSession", SessionId=session)
        self.until(lambda: self.session_state(session), ("TERMINATED",), 3)

    def test_idle_timeout(self):
        self.settings(idle_minute_seconds=0.3)
        session = self.start_session(SessionIdleTimeoutInMinutes=1)
        # Work puts the end off.
        self.run_code(session, "import time; time.sleep(0.5)")
        self.assertEqual(self.session_state(session), "IDLE")
        self.until(lambda: self.session_state(session), ("TERMINATED",), 3)
        self.assertEqual(self.call("GetSessionStatus", SessionId=session)["Status"]["StateChangeReason"],
                         "Session was terminated per request")

    def test_a_state_can_be_forced(self):
        session = self.start_session()
        calculation = self.start(session, "import time; time.sleep(60)")
        self.client.control("POST", "session", {"session_id": session, "state": "DEGRADED", "reason": "no coordinator"})
        status = self.call("GetSessionStatus", SessionId=session)["Status"]
        self.assertEqual((status["State"], status["StateChangeReason"]), ("DEGRADED", "no coordinator"))
        self.assertNotIn("EndDateTime", status)
        self.assertEqual(self.calculation_state(calculation), "FAILED")
        self.refused("StartCalculationExecution", {"SessionId": session, "CodeBlock": "1"})
        self.call("TerminateSession", SessionId=session)
        self.assertEqual(self.session_state(session), "TERMINATED")
        other = self.start_session()
        self.client.control("POST", "session", {"session_id": other, "state": "FAILED"})
        self.assertEqual(self.session_state(other), "FAILED")
        self.assertEqual(self.call("TerminateSession", SessionId=other), {"State": "FAILED"})

    def test_retention(self):
        session, other = self.start_session(), self.start_session()
        calculation = self.run_code(session, "1")["CalculationExecutionId"]
        self.settings(retention_seconds=0.3)
        self.call("TerminateSession", SessionId=session)
        self.until(lambda: self.session_state(session), ("TERMINATED",), 3)
        self.assertEqual(self.calculation_state(calculation), "COMPLETED")
        time.sleep(0.4)
        self.refused("GetSession", {"SessionId": session})
        self.refused("GetCalculationExecution", {"CalculationExecutionId": calculation})
        self.assertEqual([item["SessionId"] for item in self.call("ListSessions", WorkGroup="spark")["Sessions"]], [other])

    def test_unknown_ids(self):
        for operation in ("GetSession", "GetSessionStatus", "TerminateSession", "ListCalculationExecutions",
                          "ListExecutors"):
            error = self.refused(operation, {"SessionId": "nowhere"})
            self.assertEqual((error.message, error.athena_error_code), ("Session nowhere is not found.", "INVALID_INPUT"))
        for operation in ("GetCalculationExecution", "GetCalculationExecutionStatus", "GetCalculationExecutionCode",
                          "StopCalculationExecution"):
            self.refused(operation, {"CalculationExecutionId": "nowhere"})

    def test_work_groups(self):
        error = self.refused("StartSession", {"WorkGroup": "sql-only", "EngineConfiguration": {}})
        self.assertEqual(error.message, "Workgroup EngineVersion is not Spark.")
        error = self.refused("StartSession", {"WorkGroup": "other", "EngineConfiguration": {}})
        self.assertEqual(error.message, "WorkGroup other is not found.")
        names = [group["Name"] for group in self.call("ListWorkGroups")["WorkGroups"]]
        self.assertEqual(names, ["primary", "spark", "sql-only"])
        configuration = self.call("GetWorkGroup", WorkGroup="spark")["WorkGroup"]["Configuration"]
        self.assertEqual(configuration["EngineVersion"]["EffectiveEngineVersion"], "PySpark engine version 3")

    def work_group(self, **members):
        return self.client.control("POST", "work_group", members)

    def configuration(self, name):
        group = self.call("GetWorkGroup", WorkGroup=name)["WorkGroup"]
        return group["State"], group["Configuration"]

    def test_a_work_group_that_is_wrong(self):
        role, start = "arn:aws:iam::123456789012:role/etl", {"WorkGroup": "new", "EngineConfiguration": {}}
        shown = self.work_group(name="new")
        state, configuration = self.configuration("new")
        self.assertEqual(shown, {"name": "new", "engine_version": "PySpark engine version 3", "state": state,
                                 "execution_role": configuration["ExecutionRole"],
                                 "output_location": configuration["ResultConfiguration"]["OutputLocation"]})
        self.start_session(WorkGroup="new")
        self.work_group(name="new", state="DISABLED", output_location=None)
        state, configuration = self.configuration("new")
        self.assertEqual((state, configuration["ResultConfiguration"]), ("DISABLED", {}))
        self.assertEqual(configuration["EngineVersion"]["EffectiveEngineVersion"], "PySpark engine version 3")
        listed = {group["Name"]: group["State"] for group in self.call("ListWorkGroups")["WorkGroups"]}
        self.assertEqual(listed, {"new": "DISABLED", "primary": "ENABLED", "spark": "ENABLED", "sql-only": "ENABLED"})
        self.assertEqual(self.refused("StartSession", start).message, "WorkGroup new is disabled.")
        self.work_group(name="new", state="ENABLED", execution_role=None)
        self.assertNotIn("ExecutionRole", self.configuration("new")[1])
        self.assertEqual(self.refused("StartSession", start).message, "executionRole is null or empty")
        session = self.start_session(WorkGroup="new", ExecutionRole=role)
        self.assertEqual(self.call("GetSession", SessionId=session)["SessionConfiguration"]["ExecutionRole"], role)
        self.work_group(name="new", execution_role=role, engine_version="Athena engine version 3")
        self.assertEqual(self.refused("StartSession", start).message, "Workgroup EngineVersion is not Spark.")
        self.work_group(name="spark", execution_role=None)
        self.client.control("POST", "reset")
        self.refused("GetWorkGroup", {"WorkGroup": "new"})
        self.assertIn("ExecutionRole", self.configuration("spark")[1])

    def test_spark_3_5(self):
        version = "Apache Spark version 3.5"
        self.work_group(name="new", engine_version=version)
        for name, value in (("CoordinatorDpuSize", 1), ("DefaultExecutorDpuSize", 1), ("SparkProperties", {"a": "b"})):
            error = self.refused("StartSession", {"WorkGroup": "new", "EngineConfiguration": {name: value}})
            self.assertEqual(error.message, "%s is not supported for %s." % (name, version))
        session = self.start_session(WorkGroup="new", EngineConfiguration={
            "MaxConcurrentDpus": 3, "Classifications": [{"Name": "spark-defaults", "Properties": {"a": "b"}}]})
        shown = self.call("GetSession", SessionId=session)
        self.assertEqual(shown["EngineVersion"], version)
        self.assertNotIn("CoordinatorDpuSize", shown["EngineConfiguration"])
        listed = self.call("ListSessions", WorkGroup="new")["Sessions"]
        self.assertEqual(listed[0]["EngineVersion"]["EffectiveEngineVersion"], version)
        for operation, members in (("StartCalculationExecution", {"CodeBlock": "1"}), ("ListCalculationExecutions", {})):
            error = self.refused(operation, {"SessionId": session, **members})
            self.assertEqual(error.message, "Calculations are not supported for %s." % version)
        self.assertEqual(self.call("TerminateSession", SessionId=session), {"State": "TERMINATING"})

    def test_what_a_work_group_may_be(self):
        for wrong in (None, [], {}, {"name": "a b"}, {"name": "x", "state": "OFF"}, {"name": "x", "engine_version": "3"},
                      {"name": "x", "engine_version": None}, {"name": "x", "execution_role": "etl"},
                      {"name": "x", "execution_role": ""}, {"name": "x", "output_location": "bucket/folder"},
                      {"name": "x", "output_location": 1}, {"name": "x", "other": 1}):
            answer = self.client.send("POST", "/_emulator/work_group", {"host": "x"}, json.dumps(wrong).encode())
            self.assertEqual(answer.status, 400, wrong)
            self.assertTrue(answer.json["error"], wrong)
        self.refused("GetWorkGroup", {"WorkGroup": "x"})

    def test_one_session_for_each_notebook(self):
        notebook = str(uuid.uuid4())
        members = {"WorkGroup": "spark", "NotebookVersion": "Athena notebook version 1",
                   "EngineConfiguration": {"AdditionalConfigs": {"NotebookId": notebook}}}
        session = self.start_session(**members)
        self.refused("StartSession", members, "SessionAlreadyExistsException")
        for wrong in ({"NotebookVersion": "1"}, {"EngineConfiguration": {}}):
            self.assertIn("NotebookVersion", self.refused("StartSession", {**members, **wrong}).message)
        listed = self.call("ListNotebookSessions", NotebookId=notebook)["NotebookSessionsList"]
        self.assertEqual([item["SessionId"] for item in listed], [session])
        self.assertEqual(self.call("ListNotebookSessions", NotebookId=str(uuid.uuid4())), {"NotebookSessionsList": []})
        self.call("TerminateSession", SessionId=session)
        self.until(lambda: self.session_state(session), ("TERMINATED",))
        self.assertEqual(self.call("ListNotebookSessions", NotebookId=notebook), {"NotebookSessionsList": []})


class WorkGroupsOfTheStart(EmulatorTest):

    OPTIONS = ("--work-group", "etl", "--add-work-group", '{"name": "etl", "output_location": null}',
               "--add-work-group", '{"name": "off", "state": "DISABLED"}')

    def test_they_come_back(self):
        self.client.control("POST", "work_group", {"name": "etl", "output_location": "s3://bucket/folder/"})
        for location in ("s3://bucket/folder/", None):
            group = self.call("GetWorkGroup", WorkGroup="etl")["WorkGroup"]
            self.assertEqual(group["Configuration"]["ResultConfiguration"].get("OutputLocation"), location)
            self.assertEqual(self.call("GetWorkGroup", WorkGroup="off")["WorkGroup"]["State"], "DISABLED")
            self.client.control("POST", "reset")
        # Without a location, the results are where they always are.
        self.assertEqual(self.output(self.run_code(self.start_session(WorkGroup="etl"), "print(1)")), "1\n")

    def test_what_is_no_work_group(self):
        for text, words in (("{", "is not JSON"), ('{"name": "a b"}', "needs a name")):
            ended = subprocess.run([sys.executable, "-m", "emulator", "--add-work-group", text], cwd=ROOT,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
            self.assertNotEqual(ended.returncode, 0)
            self.assertIn(words, ended.stderr.decode())


class Calculations(EmulatorTest):

    def setUp(self):
        super().setUp()
        self.session = self.start_session()

    def run_here(self, code):
        return self.run_code(self.session, code)

    def test_states_in_order(self):
        self.settings(calculation_start_seconds=0.6)
        started = self.call("StartCalculationExecution", SessionId=self.session, CodeBlock="import time; time.sleep(0.2)")
        self.assertEqual(started["State"], "CREATING")
        seen = self.until(lambda: self.calculation_state(started["CalculationExecutionId"]), ENDED)
        self.assertEqual(seen, ["CREATING", "CREATED", "QUEUED", "RUNNING", "COMPLETED"])

    def test_variables_are_kept(self):
        self.run_here("x = 20\ndef double(n):\n    return 2 * n")
        self.assertEqual(self.output(self.run_here("print(double(x) + 2, __name__)")), "42 __main__\n")

    def test_sessions_share_nothing(self):
        self.run_here("x = 1")
        other = self.start_session()
        self.assertEqual(self.run_code(other, "x")["Status"]["State"], "FAILED")

    def test_what_has_been_printed(self):
        calculation = self.run_here(
            "import os, subprocess, sys\nprint('one')\nsubprocess.run(['echo', 'two'])\nos.write(1, b'three\\n')\n"
            "print('grüße ✓', file=sys.stderr)\n4")
        self.assertEqual(self.output(calculation), "one\ntwo\nthree\n")
        self.assertEqual(self.output(calculation, "stderr"), "grüße ✓\n")
        directory = calculation["WorkingDirectory"]
        self.assertEqual(calculation["Result"], {
            "StdOutS3Uri": directory + "/stdout", "StdErrorS3Uri": directory + "/stderr",
            "ResultS3Uri": directory + "/result", "ResultType": "application/vnd.aws.athena.v1+json"})
        self.assertEqual(json.loads(self.client.get_uri(calculation["Result"]["ResultS3Uri"]))["status"], "ok")

    def test_output_belongs_to_its_own_calculation(self):
        first = self.run_here("import subprocess; p = subprocess.Popen(['sh', '-c', 'sleep 0.2; echo late'])")
        second = self.run_here("p.wait(); print('mine')")
        self.assertEqual(self.output(first), "")
        self.assertEqual(self.output(second), "mine\n")

    def test_a_failure(self):
        calculation = self.run_here("def f():\n    return 1 / 0\nprint('before')\nf()")
        self.assertEqual(calculation["Status"]["State"], "FAILED")
        self.assertEqual(calculation["Status"]["StateChangeReason"], "ZeroDivisionError: division by zero")
        self.assertNotIn("Result", calculation)
        self.assertEqual(self.output(calculation), "before\n")
        traceback = self.output(calculation, "stderr").splitlines()
        self.assertEqual(traceback[0], "Traceback (most recent call last):")
        self.assertIn("    return 1 / 0", traceback)
        self.assertEqual(traceback[-1], "ZeroDivisionError: division by zero")
        self.assertNotIn("kernel.py", "".join(traceback))
        # The session goes on.
        self.assertEqual(self.run_here("1")["Status"]["State"], "COMPLETED")

    def test_other_failures(self):
        for code, reason in (("x = (", "SyntaxError: "), ("import sys; sys.exit(3)", "SystemExit: 3"),
                             ("raise KeyboardInterrupt", "KeyboardInterrupt"),
                             ("import json; json.loads('')", "json.decoder.JSONDecodeError: Expecting value")):
            status = self.run_here(code)["Status"]
            self.assertEqual(status["State"], "FAILED")
            self.assertTrue(status["StateChangeReason"].startswith(reason), status["StateChangeReason"])
        self.assertEqual(len(self.run_here("raise ValueError('x' * 5000)")["Status"]["StateChangeReason"]), 1024)

    def test_results_of_failures_can_be_shown(self):
        self.settings(results_for=["COMPLETED", "FAILED"])
        self.assertIn("StdErrorS3Uri", self.run_here("1 / 0")["Result"])

    def test_a_process_that_dies(self):
        for code, words in (("import os; print('last words'); os._exit(7)", "exit status 7"),
                            ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9")):
            session = self.start_session()
            calculation = self.run_code(session, code)
            self.assertEqual(calculation["Status"]["State"], "FAILED")
            self.assertIn(words, calculation["Status"]["StateChangeReason"])
            self.until(lambda: self.session_state(session), ("FAILED",), 3)
            self.assertIn(words, self.call("GetSessionStatus", SessionId=session)["Status"]["StateChangeReason"])

    def test_a_death_that_a_forked_process_hides(self):
        calculation = self.run_here("import os, time\nif os.fork() == 0:\n    time.sleep(60)\nos._exit(1)")
        self.assertIn("exit status 1", calculation["Status"]["StateChangeReason"])

    def test_busy(self):
        calculation = self.start(self.session, "import time; time.sleep(60)")
        error = self.refused("StartCalculationExecution", {"SessionId": self.session, "CodeBlock": "1"})
        self.assertEqual(error.message, "Session is in the BUSY state; needs to be IDLE to accept Calculations.")
        self.call("StopCalculationExecution", CalculationExecutionId=calculation)

    def test_stop_interrupts_and_keeps_the_variables(self):
        self.run_here("x = 42")
        calculation = self.start(self.session, "import subprocess\nprint(subprocess.run(['sleep', '60']))")
        self.until(lambda: self.calculation_state(calculation), ("RUNNING",))
        self.assertEqual(self.call("StopCalculationExecution", CalculationExecutionId=calculation), {"State": "CANCELING"})
        self.until(lambda: self.calculation_state(calculation), ("CANCELED",), 3)
        self.assertEqual(self.session_state(self.session), "IDLE")
        self.assertEqual(self.output(self.run_here("print(x)")), "42\n")
        self.assertEqual(self.call("StopCalculationExecution", CalculationExecutionId=calculation), {"State": "CANCELED"})

    def test_stop_at_every_moment(self):
        self.settings(stop_grace_seconds=60)
        self.run_here("x = 42")
        for pause in (0, 0.0005, 0.001, 0.0015, 0.002, 0.004, 0.008, 0.02):
            calculation = self.start(self.session, "import time\ntime.sleep(60)")
            time.sleep(pause)
            self.call("StopCalculationExecution", CalculationExecutionId=calculation)
            self.until(lambda: self.calculation_state(calculation), ("CANCELED",), 10)
        self.assertEqual(self.output(self.run_here("print(x)")), "42\n")

    def test_stop_before_it_runs(self):
        self.settings(calculation_start_seconds=60)
        calculation = self.start(self.session, "print('never')")
        self.call("StopCalculationExecution", CalculationExecutionId=calculation)
        self.until(lambda: self.calculation_state(calculation), ("CANCELED",), 3)
        self.assertEqual(self.session_state(self.session), "IDLE")

    def test_stop_replaces_a_process_that_does_not_heed_it(self):
        self.settings(stop_grace_seconds=0.2)
        self.run_here("x = 42")
        calculation = self.start(self.session, "import time\nwhile True:\n    try:\n        time.sleep(60)\n"
                                 "    except KeyboardInterrupt:\n        print('no', flush=True)")
        self.until(lambda: self.calculation_state(calculation), ("RUNNING",))
        time.sleep(0.3)  # until the code is within its try
        self.call("StopCalculationExecution", CalculationExecutionId=calculation)
        self.until(lambda: self.calculation_state(calculation), ("CANCELED",), 5)
        self.assertEqual(self.session_state(self.session), "IDLE")
        self.assertIn("NameError", self.run_here("x")["Status"]["StateChangeReason"])

    def test_stop_while_the_session_ends(self):
        # It takes its time to remove these.
        code = "import time\nfor i in range(5000):\n    open(str(i), 'w').close()\nprint('made', flush=True)\ntime.sleep(60)"
        for pause in (0.01, 0.02, 0.03, 0.05):
            session = self.start_session()
            calculation = self.start(session, code)
            self.until(lambda: self.calculation_state(calculation), ("RUNNING",))
            time.sleep(0.5)
            self.call("TerminateSession", SessionId=session)
            time.sleep(pause)
            self.assertIn(self.call("StopCalculationExecution", CalculationExecutionId=calculation)["State"], ("CANCELING", "FAILED"))
            self.until(lambda: self.calculation_state(calculation), ("FAILED",))

    def test_stop_of_an_ended_one(self):
        calculation = self.run_here("1")
        self.assertEqual(self.call("StopCalculationExecution", CalculationExecutionId=calculation["CalculationExecutionId"]),
                         {"State": "COMPLETED"})

    def test_code_statistics_and_times(self):
        code = "import time\ntime.sleep(0.5)  # ünïcode"
        calculation = self.run_here(code)
        identity = calculation["CalculationExecutionId"]
        self.assertEqual(self.call("GetCalculationExecutionCode", CalculationExecutionId=identity), {"CodeBlock": code})
        self.assertEqual(calculation["Statistics"]["Progress"], "100%")
        # It counts from when the emulator hears that the code runs, which on a busy machine takes a while.
        self.assertGreaterEqual(calculation["Statistics"]["DpuExecutionInMillis"], 250)
        status = calculation["Status"]
        self.assertGreaterEqual(status["CompletionDateTime"] - status["SubmissionDateTime"], 0.5)
        self.assertEqual(self.call("GetCalculationExecutionStatus", CalculationExecutionId=identity),
                         {"Status": status, "Statistics": calculation["Statistics"]})
        total = self.call("GetSession", SessionId=self.session)["Statistics"]["DpuExecutionInMillis"]
        self.assertEqual(total, calculation["Statistics"]["DpuExecutionInMillis"])

    def test_where_the_code_may_stand(self):
        started = self.call("StartCalculationExecution", SessionId=self.session,
                            CalculationConfiguration={"CodeBlock": "print(1)"})
        self.until(lambda: self.calculation_state(started["CalculationExecutionId"]), ("COMPLETED",))
        self.refused("StartCalculationExecution", {"SessionId": self.session})
        self.refused("StartCalculationExecution", {"SessionId": self.session, "CodeBlock": "1",
                                                   "CalculationConfiguration": {"CodeBlock": "1"}})

    def test_code_reaches_the_emulators_s3_by_its_environment(self):
        environment = json.loads(self.output(self.run_here("import json, os; print(json.dumps(dict(os.environ)))")))
        self.assertEqual(environment["AWS_ENDPOINT_URL"], self.emulator.url)
        self.assertEqual(environment["AWS_ACCESS_KEY_ID"], "AKIDEXAMPLE")


class Tokens(EmulatorTest):

    def test_a_session_is_started_once(self):
        token = str(uuid.uuid4())
        members = {"WorkGroup": "spark", "EngineConfiguration": {}, "ClientRequestToken": token}
        first = self.call("StartSession", **members)
        self.assertEqual(self.call("StartSession", **members), first)
        self.assertEqual(len(self.call("ListSessions", WorkGroup="spark")["Sessions"]), 1)
        self.refused("StartSession", {**members, "Description": "other"})

    def test_a_calculation_is_started_once(self):
        session = self.start_session()
        members = {"SessionId": session, "CodeBlock": "print(1)", "ClientRequestToken": str(uuid.uuid4())}
        first = self.call("StartCalculationExecution", **members)
        # Neither a BUSY session nor an ended one changes the answer.
        self.assertEqual(self.call("StartCalculationExecution", **members), first)
        self.until(lambda: self.calculation_state(first["CalculationExecutionId"]), ("COMPLETED",))
        self.call("TerminateSession", SessionId=session)
        self.assertEqual(self.call("StartCalculationExecution", **members), first)
        self.assertEqual(len(self.call("ListCalculationExecutions", SessionId=session)["Calculations"]), 1)
        self.refused("StartCalculationExecution", {**members, "CodeBlock": "print(2)"})

    def test_without_a_token_each_start_counts(self):
        for _ in range(2):
            self.call("StartSession", WorkGroup="spark", EngineConfiguration={})
        self.assertEqual(len(self.call("ListSessions", WorkGroup="spark")["Sessions"]), 2)

    def test_a_refused_start_uses_up_no_token(self):
        members = {"WorkGroup": "nowhere", "EngineConfiguration": {}, "ClientRequestToken": "t" * 32}
        self.refused("StartSession", members)
        self.call("StartSession", **{**members, "WorkGroup": "spark"})


class Lists(EmulatorTest):

    def pages(self, operation, items, **members):
        pages, token = [], None
        while True:
            answer = self.call(operation, **members, **({"NextToken": token} if token else {}))
            pages.append(answer[items])
            token = answer.get("NextToken")
            if token is None:
                return pages

    def test_sessions(self):
        started = [self.call("StartSession", WorkGroup="spark", EngineConfiguration={}, Description=str(number))["SessionId"]
                   for number in range(5)]
        self.call("StartSession", WorkGroup="primary", EngineConfiguration={})
        pages = self.pages("ListSessions", "Sessions", WorkGroup="spark", MaxResults=2)
        self.assertEqual([[item["Description"] for item in page] for page in pages], [["4", "3"], ["2", "1"], ["0"]])
        self.until(lambda: self.session_state(started[1]), ("IDLE",))
        self.call("TerminateSession", SessionId=started[1])
        self.until(lambda: self.session_state(started[1]), ("TERMINATED",))
        found = self.call("ListSessions", WorkGroup="spark", StateFilter="TERMINATED")["Sessions"]
        self.assertEqual([item["SessionId"] for item in found], [started[1]])
        self.assertEqual(found[0]["EngineVersion"]["EffectiveEngineVersion"], "PySpark engine version 3")
        active = self.call("ListSessions", WorkGroup="spark")["Sessions"]
        self.assertEqual([item["SessionId"] for item in active], started[:1:-1] + started[:1])

    def test_pages_stay_right_while_something_is_added(self):
        for _ in range(3):
            self.call("StartSession", WorkGroup="spark", EngineConfiguration={})
        first = self.call("ListSessions", WorkGroup="spark", MaxResults=2)
        self.call("StartSession", WorkGroup="spark", EngineConfiguration={})
        second = self.call("ListSessions", WorkGroup="spark", MaxResults=2, NextToken=first["NextToken"])
        self.assertEqual(len(second["Sessions"]), 1)
        self.assertNotIn(second["Sessions"][0]["SessionId"], [item["SessionId"] for item in first["Sessions"]])

    def test_calculations(self):
        session = self.start_session()
        for number in range(3):
            self.run_code(session, "1 / %d" % number)
        pages = self.pages("ListCalculationExecutions", "Calculations", SessionId=session, MaxResults=1)
        self.assertEqual([page[0]["Status"]["State"] for page in pages], ["COMPLETED", "COMPLETED", "FAILED"])
        found = self.call("ListCalculationExecutions", SessionId=session, StateFilter="FAILED")["Calculations"]
        self.assertEqual(len(found), 1)

    def test_executors(self):
        session = self.start_session(EngineConfiguration={"MaxConcurrentDpus": 5})
        pages = self.pages("ListExecutors", "ExecutorsSummary", SessionId=session, MaxResults=3)
        self.assertEqual([len(page) for page in pages], [3, 2])
        executors = pages[0] + pages[1]
        self.assertEqual(sorted(item["ExecutorType"] for item in executors), ["COORDINATOR"] + ["WORKER"] * 4)
        for item in executors:
            self.assertEqual((item["ExecutorState"], item["ExecutorSize"]), ("REGISTERED", 1))
            self.assertIsInstance(item["StartDateTime"], int)
            self.assertAlmostEqual(item["StartDateTime"] / 1000, time.time(), delta=30)
        self.call("TerminateSession", SessionId=session)
        self.until(lambda: self.session_state(session), ("TERMINATED",))
        self.assertEqual(self.call("ListExecutors", SessionId=session, ExecutorStateFilter="REGISTERED")["ExecutorsSummary"], [])
        ended = self.call("ListExecutors", SessionId=session, ExecutorStateFilter="TERMINATED")["ExecutorsSummary"]
        self.assertIsInstance(ended[0]["TerminationDateTime"], int)

    def test_lists_of_the_service(self):
        pages = self.pages("ListEngineVersions", "EngineVersions", MaxResults=1)
        self.assertEqual([page[0]["EffectiveEngineVersion"] for page in pages],
                         ["PySpark engine version 3", "Athena engine version 3"])
        self.assertEqual(self.call("ListApplicationDPUSizes"),
                         {"ApplicationDPUSizes": [{"ApplicationRuntimeId": "Jupyter 1.0", "SupportedDPUSizes": [1]}]})

    def test_tokens_that_do_not_fit(self):
        token = self.call("ListEngineVersions", MaxResults=1)["NextToken"]
        self.refused("ListWorkGroups", {"NextToken": token})
        self.refused("ListEngineVersions", {"NextToken": "nonsense"})
        self.refused("ListEngineVersions", {"NextToken": "ü"})


class Validation(EmulatorTest):

    def test_words(self):
        session = self.start_session()
        states = "CREATING, CREATED, QUEUED, RUNNING, CANCELING, CANCELED, COMPLETED, FAILED"
        error = self.refused("ListCalculationExecutions", {"SessionId": session, "StateFilter": "STOPPED"})
        self.assertEqual(error.message, "1 validation error detected: Value 'STOPPED' at 'stateFilter' failed to satisfy "
                         "constraint: Member must satisfy enum value set: [%s]" % states)
        self.assertEqual(error.athena_error_code, "INVALID_INPUT")

    def test_violations(self):
        spark = {"WorkGroup": "spark", "EngineConfiguration": {}}
        for operation, members, words in (
                ("GetSession", {}, "Value null at 'sessionId' failed to satisfy constraint: Member must not be null"),
                ("GetSession", {"SessionId": None}, "must not be null"),
                ("GetSession", {"SessionId": ""}, "greater than or equal to 1"),
                ("GetSession", {"SessionId": "x" * 257}, "less than or equal to 256"),
                ("GetCalculationExecution", {"CalculationExecutionId": "x" * 37}, "less than or equal to 36"),
                ("StartCalculationExecution", {"SessionId": "x", "CodeBlock": "x" * 68001}, "less than or equal to 68000"),
                ("StartSession", {**spark, "WorkGroup": "a b"}, "regular expression pattern: [a-zA-Z0-9._-]{1,128}"),
                ("StartSession", {**spark, "EngineConfiguration": {"MaxConcurrentDpus": 1}},
                 "Value '1' at 'engineConfiguration.maxConcurrentDpus' failed"),
                ("StartSession", {**spark, "EngineConfiguration": {"CoordinatorDpuSize": 2}}, "coordinatorDpuSize"),
                ("StartSession", {**spark, "SessionIdleTimeoutInMinutes": 481}, "less than or equal to 480"),
                ("StartSession", {**spark, "ClientRequestToken": "short"}, "greater than or equal to 32"),
                ("StartSession", {**spark, "Tags": [{"Key": ""}]}, "'tags.1.member.key'"),
                ("ListSessions", {"WorkGroup": "spark", "MaxResults": 101}, "less than or equal to 100"),
                ("ListSessions", {"WorkGroup": "spark", "MaxResults": 0}, "greater than or equal to 1"),
                ("ListEngineVersions", {"MaxResults": 11}, "less than or equal to 10"),
                ("StartSession", {}, "2 validation errors detected: "),
                ("ListNotebookSessions", {"NotebookId": "x"}, "regular expression")):
            with self.subTest(operation=operation, words=words):
                self.assertIn(words, self.refused(operation, members).message)

    def test_wrong_types_and_no_json(self):
        for body in (b"{", b"", b"[]", b"null", b'{"SessionId": 1}', b'{"SessionId": ["x"]}', b'\xff', b'{"x": NaN}',
                     b"[" * 100000, b'{"SessionId": "\\ud800"}'):
            answer = self.client.raw_call("GetSession", body)
            self.assertEqual((answer.status, answer.json["__type"]), (400, "SerializationException"), body[:40])

    def test_unknown_members_are_ignored(self):
        self.call("ListEngineVersions", Unknown={"a": [1]})

    def test_unknown_operations(self):
        answer = self.client.raw_call("StartQueryExecution", {})
        self.assertEqual((answer.status, answer.json["__type"]), (400, "UnknownOperationException"))
        self.assertEqual(answer.headers["content-type"], "application/x-amz-json-1.1")
        self.assertRegex(answer.headers["x-amzn-requestid"], r"^[0-9a-f-]{36}$")


if __name__ == "__main__":
    unittest.main()
