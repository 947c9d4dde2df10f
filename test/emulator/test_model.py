"""The emulator's answers and its table of inputs against AWS's own API model, where that is at hand."""

import json
import os
import re
import unittest
import uuid

from client import SHARED, EmulatorTest
from emulator import model

MODEL = os.path.join(SHARED, "vectors", "botocore", "athena-service-2.json")


@unittest.skipUnless(os.path.isfile(MODEL), "no API model of Athena at %s" % MODEL)
class AgainstTheModel(EmulatorTest):

    @classmethod
    def setUpClass(cls):
        with open(MODEL, encoding="utf-8") as file:
            loaded = json.load(file)
        cls.operations, cls.shapes = loaded["operations"], loaded["shapes"]

    def check_value(self, name, value, path):
        """Every member that an answer holds is in the model, of its type, and of an enum's values."""
        shape = self.shapes[name]
        kind = shape["type"]
        if kind == "structure":
            self.assertIsInstance(value, dict, path)
            for member, item in value.items():
                self.assertIn(member, shape["members"], path)
                self.check_value(shape["members"][member]["shape"], item, path + "." + member)
            for member in shape.get("required", ()):
                self.assertIn(member, value, path)
        elif kind == "list":
            self.assertIsInstance(value, list, path)
            self.assertLessEqual(len(value), shape.get("max", 10 ** 9), path)
            for item in value:
                self.check_value(shape["member"]["shape"], item, path + "[]")
        elif kind == "map":
            for item in value.values():
                self.check_value(shape["value"]["shape"], item, path + "{}")
        elif kind == "string":
            self.assertIsInstance(value, str, path)
            if "enum" in shape:
                self.assertIn(value, shape["enum"], path)
            self.assertGreaterEqual(len(value), shape.get("min", 0), path)
            self.assertLessEqual(len(value), shape.get("max", 10 ** 9), path)
            if "pattern" in shape and "\\uD800" not in shape["pattern"]:
                self.assertRegex(value, re.compile(shape["pattern"]), path)
        elif kind == "timestamp":
            self.assertIsInstance(value, (int, float), path)
        elif kind in ("integer", "long"):
            self.assertIs(type(value), int, path)
        else:
            self.assertEqual(kind, "boolean", path)
            self.assertIsInstance(value, bool, path)

    def ask(self, operation, **members):
        answer = self.call(operation, **members)
        self.check_value(self.operations[operation]["output"]["shape"], answer, operation)
        self.asked.add(operation)
        return answer

    def test_answers(self):
        self.asked = set()
        session = self.ask("StartSession", WorkGroup="spark", Description="d", NotebookVersion="v",
                           EngineConfiguration={"AdditionalConfigs": {"NotebookId": str(uuid.uuid4())}},
                           MonitoringConfiguration={"ManagedLoggingConfiguration": {"Enabled": True}})["SessionId"]
        self.until(lambda: self.session_state(session), ("IDLE",))
        for code in ("print(1)", "1 / 0"):
            calculation = self.ask("StartCalculationExecution", SessionId=session, CodeBlock=code,
                                   Description="d")["CalculationExecutionId"]
            self.until(lambda: self.calculation_state(calculation), ("COMPLETED", "FAILED"))
            for operation in ("GetCalculationExecution", "GetCalculationExecutionStatus", "GetCalculationExecutionCode",
                              "StopCalculationExecution"):
                self.ask(operation, CalculationExecutionId=calculation)
        self.ask("ListCalculationExecutions", SessionId=session, MaxResults=1)
        for _ in range(2):
            for operation in ("GetSession", "GetSessionStatus", "ListExecutors"):
                self.ask(operation, SessionId=session)
            self.ask("TerminateSession", SessionId=session)
            self.until(lambda: self.session_state(session), ("TERMINATED",))
        self.ask("ListSessions", WorkGroup="spark")
        self.ask("ListNotebookSessions", NotebookId=str(uuid.uuid4()))
        for operation in ("ListEngineVersions", "ListApplicationDPUSizes", "ListWorkGroups"):
            self.ask(operation)
        self.ask("GetWorkGroup", WorkGroup="spark")
        self.assertEqual(self.asked, set(model.INPUTS))

    def test_inputs(self):
        for operation, structure in model.INPUTS.items():
            with self.subTest(operation):
                self.check_shape(self.operations[operation]["input"]["shape"], structure, operation)

    def check_shape(self, name, ours, path):
        shape = self.shapes[name]
        wanted = {"structure": model.Structure, "list": model.ListOf, "map": model.MapOf, "string": model.String,
                  "integer": model.Integer, "boolean": model.Boolean}[shape["type"]]
        self.assertIsInstance(ours, wanted, path)
        if wanted is model.Structure:
            self.assertEqual(set(ours.required), set(shape.get("required", ())), path)
            self.assertEqual(set(ours.members), set(shape["members"]), path)
            for member, item in ours.members.items():
                self.check_shape(shape["members"][member]["shape"], item, path + "." + member)
        elif wanted is model.ListOf:
            self.check_shape(shape["member"]["shape"], ours.item, path + "[]")
        elif wanted is model.MapOf:
            self.check_shape(shape["key"]["shape"], ours.key, path + ".key")
            self.check_shape(shape["value"]["shape"], ours.value, path + ".value")
        elif wanted in (model.String, model.Integer):
            self.assertEqual((ours.minimum, ours.maximum), (shape.get("min"), shape.get("max")), path)
            if wanted is model.String:
                self.assertEqual(None if ours.enum is None else list(ours.enum), shape.get("enum"), path)
                self.assertEqual(ours.pattern is None, "pattern" not in shape, path)


if __name__ == "__main__":
    unittest.main()
