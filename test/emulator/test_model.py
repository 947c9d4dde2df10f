"""The emulator's answers and its table of inputs against AWS's own API model, where that is at hand."""

import json
import os
import re
import unittest
import uuid

from client import SHARED, EmulatorTest
from emulator import model

try:
    from botocore import loaders
except ImportError:
    loaders = None

MODEL = os.path.join(SHARED, "vectors", "botocore", "athena-service-2.json")


# Values of which one fits each pattern of the model.
SAMPLES = ("x" * 40, "00000000-0000-0000-0000-000000000000", "arn:aws:iam::123456789012:role/etl", "s3://bucket/folder", "x")


class AgainstAModel(EmulatorTest):
    """What is held against a model. load(): it, as JSON."""

    @classmethod
    def setUpClass(cls):
        loaded = cls.load()
        cls.operations, cls.shapes = loaded["operations"], loaded["shapes"]

    def fits(self, shape, value):
        return shape.get("min", 0) <= len(value) <= shape.get("max", 10 ** 9) and (
            "pattern" not in shape or re.fullmatch(self.translated(shape["pattern"]), value) is not None)

    @staticmethod
    def translated(pattern):
        """A pattern of the model, which is written in UTF-16, as Python has it."""
        return pattern.replace("\\uD800\\uDC00-\\uDBFF\\uDFFF", "\\U00010000-\\U0010FFFF")

    def sample(self, name):
        """A value that keeps to a shape."""
        shape = self.shapes[name]
        kind = shape["type"]
        if kind == "structure":
            return {member: self.sample(shape["members"][member]["shape"]) for member in shape.get("required", ())}
        if kind == "list":
            return [self.sample(shape["member"]["shape"])]
        if kind == "map":
            return {self.sample(shape["key"]["shape"]): self.sample(shape["value"]["shape"])}
        if kind == "string":
            return shape["enum"][0] if "enum" in shape else next(value for value in SAMPLES if self.fits(shape, value))
        return {"boolean": True}.get(kind, shape.get("min", 1))

    def violations(self, name):
        """Values that break one rule of a shape each, with words of the answer."""
        shape = self.shapes[name]
        kind = shape["type"]
        if kind == "structure":
            whole = self.sample(name)
            for member in shape.get("required", ()):
                yield {key: value for key, value in whole.items() if key != member}, "must not be null"
            for member, item in shape["members"].items():
                for value, words in self.violations(item["shape"]):
                    yield {**whole, member: value}, words
        elif kind == "list":
            for value, words in self.violations(shape["member"]["shape"]):
                yield [value], words
        elif kind == "map":
            for value, words in self.violations(shape["value"]["shape"]):
                yield {self.sample(shape["key"]["shape"]): value}, words
            for key, words in self.violations(shape["key"]["shape"]):
                yield {key: self.sample(shape["value"]["shape"])}, words
        elif kind == "integer":
            if "min" in shape:
                yield shape["min"] - 1, "greater than or equal to %d" % shape["min"]
            if "max" in shape:
                yield shape["max"] + 1, "less than or equal to %d" % shape["max"]
        elif kind == "string":
            if shape.get("min", 0) > 0:
                yield "x" * (shape["min"] - 1), "length greater than or equal to %d" % shape["min"]
            if "max" in shape:
                yield "x" * (shape["max"] + 1), "length less than or equal to %d" % shape["max"]
            if "enum" in shape:
                yield "NOWHERE", "enum value set"
            if "pattern" in shape:
                wrong = next((value for value in ("a b:*", "\0") if not self.fits({"pattern": shape["pattern"]}, value)), None)
                if wrong is not None:
                    yield wrong, "regular expression pattern"

    def test_every_violation_is_refused(self):
        count = 0
        for operation in model.INPUTS:
            allowed = [item["shape"] for item in self.operations[operation]["errors"]]
            for members, words in self.violations(self.operations[operation]["input"]["shape"]):
                with self.subTest(operation, members=str(members)[:200], words=words):
                    self.assertIn("InvalidRequestException", allowed)
                    self.assertIn(words, self.refused(operation, members).message)
                    count += 1
        self.assertGreater(count, 100)

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
            if "pattern" in shape:
                self.assertIsNotNone(re.fullmatch(self.translated(shape["pattern"]), value), path)
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
        session = self.ask("StartSession", WorkGroup="spark", Description="d", NotebookVersion="Athena notebook version 1",
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


@unittest.skipUnless(os.path.isfile(MODEL), "no API model of Athena at %s" % MODEL)
class AgainstTheStoredModel(AgainstAModel):

    @staticmethod
    def load():
        with open(MODEL, encoding="utf-8") as file:
            return json.load(file)


@unittest.skipIf(loaders is None, "botocore is not installed for this Python")
class AgainstBotocoresModel(AgainstAModel):

    @staticmethod
    def load():
        return loaders.Loader().load_service_model("athena", "service-2")


# Its tests are run by the classes that have a model.
del AgainstAModel


if __name__ == "__main__":
    unittest.main()
