"""What Athena's operations accept: a table, and the code that holds a request against it.

The shapes are those of https://docs.aws.amazon.com/athena/latest/APIReference/API_Operations.html. What takes more than
one member to decide is in athena.py.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Optional, Sequence

from .errors import AwsError, invalid_request
from .settings import CALCULATION_STATES, SESSION_STATES

EXECUTOR_STATES = ("CREATING", "CREATED", "REGISTERED", "TERMINATING", "TERMINATED", "FAILED")


class Violations:
    """Collects what a request breaks, in AWS's words."""

    def __init__(self) -> None:
        self._sentences: List[str] = []

    def add(self, value: str, path: str, constraint: str) -> None:
        """value: as it is to be shown. path: of the member, in AWS's spelling. constraint: begins with 'Member must'."""
        self._sentences.append("Value %s at '%s' failed to satisfy constraint: %s" % (value, path, constraint))

    def raise_if_any(self, error: Callable[[str], AwsError] = invalid_request) -> None:
        """Raises an error, Athena's unless another is given, that names all of them."""
        count = len(self._sentences)
        if count:
            raise error("%d validation error%s detected: %s"
                        % (count, "" if count == 1 else "s", "; ".join(self._sentences)))


def serialization_error(message: str) -> AwsError:
    """The error for what is not of the protocol, before any rule of Athena's own."""
    return AwsError("SerializationException", message, 400)


class Shape:
    """What a value must be. check() raises SerializationException for a wrong type and notes every other violation."""

    def check(self, value: Any, path: str, violations: Violations) -> None:
        raise NotImplementedError


class String(Shape):
    """Text. minimum, maximum: characters. pattern: must match all of it."""

    def __init__(self, minimum: Optional[int] = None, maximum: Optional[int] = None, pattern: Optional[str] = None,
                 enum: Optional[Sequence[str]] = None):
        self.minimum = minimum
        self.maximum = maximum
        self.pattern = pattern
        self._compiled = re.compile(pattern) if pattern else None
        self.enum = enum

    def check(self, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, str):
            raise serialization_error("%s can not be converted to a String" % _kind(value))
        try:
            value.encode()
        except UnicodeEncodeError:
            raise serialization_error("Unpaired surrogate in a String") from None
        shown = "'%s'" % value
        if self.minimum is not None and len(value) < self.minimum:
            violations.add(shown, path, "Member must have length greater than or equal to %d" % self.minimum)
        if self.maximum is not None and len(value) > self.maximum:
            violations.add(shown, path, "Member must have length less than or equal to %d" % self.maximum)
        if self._compiled is not None and not self._compiled.fullmatch(value):
            violations.add(shown, path, "Member must satisfy regular expression pattern: %s" % self.pattern)
        if self.enum is not None and value not in self.enum:
            violations.add(shown, path, "Member must satisfy enum value set: [%s]" % ", ".join(self.enum))


class Integer(Shape):
    """A whole number of 32 bits."""

    def __init__(self, minimum: Optional[int] = None, maximum: Optional[int] = None):
        self.minimum = minimum
        self.maximum = maximum

    def check(self, value: Any, path: str, violations: Violations) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not -2**31 <= value < 2**31:
            raise serialization_error("%s can not be converted to an Integer" % _kind(value))
        shown = "'%d'" % value
        if self.minimum is not None and value < self.minimum:
            violations.add(shown, path, "Member must have value greater than or equal to %d" % self.minimum)
        if self.maximum is not None and value > self.maximum:
            violations.add(shown, path, "Member must have value less than or equal to %d" % self.maximum)


class Boolean(Shape):
    """true or false."""

    def check(self, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, bool):
            raise serialization_error("%s can not be converted to a Boolean" % _kind(value))


class Structure(Shape):
    """Named members. Absent and null ones are the same; unknown ones are ignored."""

    def __init__(self, required: Sequence[str] = (), **members: Shape):
        self.required = required
        self.members = members

    def check(self, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, dict):
            raise serialization_error("%s can not be converted to a structure" % _kind(value))
        for name, shape in self.members.items():
            # AWS writes the members of its messages with a small first letter.
            member_path = (path + "." if path else "") + name[0].lower() + name[1:]
            if value.get(name) is not None:
                shape.check(value[name], member_path, violations)
            elif name in self.required:
                violations.add("null", member_path, "Member must not be null")


class ListOf(Shape):
    """Any number of items of one shape."""

    def __init__(self, item: Shape):
        self.item = item

    def check(self, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, list):
            raise serialization_error("%s can not be converted to a list" % _kind(value))
        for index, item in enumerate(value, 1):
            item_path = "%s.%d.member" % (path, index)
            if item is None:
                violations.add("null", item_path, "Member must not be null")
            else:
                self.item.check(item, item_path, violations)


class MapOf(Shape):
    """Any number of texts by name."""

    def __init__(self, key: Shape, value: Shape):
        self.key = key
        self.value = value

    def check(self, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, dict):
            raise serialization_error("%s can not be converted to a map" % _kind(value))
        for key, item in value.items():
            self.key.check(key, path + ".key", violations)
            if item is None:
                violations.add("null", "%s.%s.member" % (path, key), "Member must not be null")
            else:
                self.value.check(item, "%s.%s.member" % (path, key), violations)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    if isinstance(value, (int, float)):
        return "NUMBER_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    if isinstance(value, dict):
        return "START_OBJECT"
    return "START_ARRAY" if isinstance(value, list) else "NULL_VALUE"


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


_SESSION_ID = String(1, 256)
_CALCULATION_ID = String(1, 36)
_DESCRIPTION = String(1, 1024)
_NAME = String(1, 128)
_WORK_GROUP = String(pattern=r"[a-zA-Z0-9._-]{1,128}")
_CODE_BLOCK = String(maximum=68000)
_CLIENT_REQUEST_TOKEN = String(32, 128)
_PAGE_SIZE = Integer(1, 100)
_SESSION_MANAGER_TOKEN = String(maximum=2048)
_TOKEN = String(1, 1024)
_PARAMETERS = MapOf(String(1, 255, r"[\u0020-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF\t]*"), String(maximum=51200))
_KMS_KEY = String(1, 2048, r"arn:aws[a-z\-]*:kms:([a-z0-9\-]+):\d{12}:(key|alias)/?[a-zA-Z_0-9+=,.@\-_/]+"
                           r"|alias/[a-zA-Z0-9/_-]+|[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}")

_ENGINE_CONFIGURATION = Structure(
    CoordinatorDpuSize=Integer(1, 1),
    MaxConcurrentDpus=Integer(2, 5000),
    DefaultExecutorDpuSize=Integer(1, 1),
    AdditionalConfigs=_PARAMETERS,
    SparkProperties=_PARAMETERS,
    Classifications=ListOf(Structure(Name=_NAME, Properties=_PARAMETERS)))

_MONITORING_CONFIGURATION = Structure(
    CloudWatchLoggingConfiguration=Structure(
        required=("Enabled",), Enabled=Boolean(),
        LogGroup=String(1, 512, r"[a-zA-Z0-9._/-]+"), LogStreamNamePrefix=String(1, 512, r"[^:*]*"),
        LogTypes=MapOf(String(), ListOf(String()))),
    ManagedLoggingConfiguration=Structure(required=("Enabled",), Enabled=Boolean(), KmsKey=_KMS_KEY),
    S3LoggingConfiguration=Structure(
        required=("Enabled",), Enabled=Boolean(), KmsKey=_KMS_KEY,
        LogLocation=String(maximum=1024, pattern=r"s3://[a-z0-9][a-z0-9\-]*[a-z0-9](/.*)?")))

INPUTS: Dict[str, Structure] = {
    "StartSession": Structure(
        required=("WorkGroup", "EngineConfiguration"),
        Description=_DESCRIPTION, WorkGroup=_WORK_GROUP, EngineConfiguration=_ENGINE_CONFIGURATION,
        ExecutionRole=String(20, 2048, r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"),
        MonitoringConfiguration=_MONITORING_CONFIGURATION, NotebookVersion=_NAME,
        SessionIdleTimeoutInMinutes=Integer(1, 480), ClientRequestToken=_CLIENT_REQUEST_TOKEN,
        Tags=ListOf(Structure(Key=String(1, 128), Value=String(0, 256))), CopyWorkGroupTags=Boolean()),
    "GetSession": Structure(required=("SessionId",), SessionId=_SESSION_ID),
    "GetSessionStatus": Structure(required=("SessionId",), SessionId=_SESSION_ID),
    "TerminateSession": Structure(required=("SessionId",), SessionId=_SESSION_ID),
    "ListSessions": Structure(
        required=("WorkGroup",), WorkGroup=_WORK_GROUP, StateFilter=String(enum=SESSION_STATES),
        MaxResults=_PAGE_SIZE, NextToken=_SESSION_MANAGER_TOKEN),
    "StartCalculationExecution": Structure(
        required=("SessionId",), SessionId=_SESSION_ID, Description=_DESCRIPTION,
        CalculationConfiguration=Structure(CodeBlock=_CODE_BLOCK), CodeBlock=_CODE_BLOCK,
        ClientRequestToken=_CLIENT_REQUEST_TOKEN),
    "GetCalculationExecution": Structure(required=("CalculationExecutionId",), CalculationExecutionId=_CALCULATION_ID),
    "GetCalculationExecutionStatus": Structure(
        required=("CalculationExecutionId",), CalculationExecutionId=_CALCULATION_ID),
    "GetCalculationExecutionCode": Structure(
        required=("CalculationExecutionId",), CalculationExecutionId=_CALCULATION_ID),
    "StopCalculationExecution": Structure(required=("CalculationExecutionId",), CalculationExecutionId=_CALCULATION_ID),
    "ListCalculationExecutions": Structure(
        required=("SessionId",), SessionId=_SESSION_ID, StateFilter=String(enum=CALCULATION_STATES),
        MaxResults=_PAGE_SIZE, NextToken=_SESSION_MANAGER_TOKEN),
    "ListExecutors": Structure(
        required=("SessionId",), SessionId=_SESSION_ID, ExecutorStateFilter=String(enum=EXECUTOR_STATES),
        MaxResults=_PAGE_SIZE, NextToken=_SESSION_MANAGER_TOKEN),
    "ListNotebookSessions": Structure(
        required=("NotebookId",),
        NotebookId=String(1, 36, r"[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"),
        MaxResults=_PAGE_SIZE, NextToken=_TOKEN),
    "ListEngineVersions": Structure(MaxResults=Integer(1, 10), NextToken=_TOKEN),
    "ListApplicationDPUSizes": Structure(MaxResults=_PAGE_SIZE, NextToken=_TOKEN),
    "GetWorkGroup": Structure(required=("WorkGroup",), WorkGroup=_WORK_GROUP),
    "ListWorkGroups": Structure(MaxResults=Integer(1, 50), NextToken=_TOKEN),
}


def validated(operation: str, value: Any) -> Dict[str, Any]:
    """The input of an operation of INPUTS, without its null members, when it keeps to the table.

    value: the parsed JSON. Raises AwsError: SerializationException for a wrong type, else InvalidRequestException that
    lists every violation.
    """
    violations = Violations()
    INPUTS[operation].check(value, "", violations)
    violations.raise_if_any()
    return _without_nulls(value)
