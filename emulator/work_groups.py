"""Athena's work groups: those of the start, and those that a test adds or spoils (control.py: /_emulator/work_group)."""

from __future__ import annotations

import re
import threading
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional

from .errors import invalid_request
from .settings import ACCOUNT_ID

PYSPARK_ENGINE_VERSION = "PySpark engine version 3"
SQL_ENGINE_VERSION = "Athena engine version 3"
SPARK_35_ENGINE_VERSION = "Apache Spark version 3.5"
ENGINE_VERSIONS = (PYSPARK_ENGINE_VERSION, SQL_ENGINE_VERSION, SPARK_35_ENGINE_VERSION)
STATES = ("ENABLED", "DISABLED")
EXECUTION_ROLE = "arn:aws:iam::%s:role/service-role/AthenaEmulatorExecutionRole" % ACCOUNT_ID

# What Apache Spark version 3.5 does not take any more: https://github.com/dbt-labs/dbt-adapters/pull/1874
_NOT_IN_SPARK_35 = ("CoordinatorDpuSize", "DefaultExecutorDpuSize", "SparkProperties")

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,128}\Z")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+\Z", re.ASCII)
_LOCATION = re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/.*)?\Z")


class WorkGroup(NamedTuple):
    """One work group. execution_role, output_location: None where it has none. created: seconds since 1970."""

    name: str
    engine_version: str
    execution_role: Optional[str]
    output_location: Optional[str]
    state: str
    created: float

    def check_start(self, members: Dict[str, Any]) -> None:
        """Whether a session may be started here with StartSession's members. Raises AwsError InvalidRequestException.

        Which engines have sessions: https://docs.aws.amazon.com/athena/latest/ug/notebooks-spark-release-versions.html;
        what a disabled work group refuses: https://docs.aws.amazon.com/athena/latest/ug/workgroups-create-update-delete.html
        """
        if self.state != "ENABLED":
            raise invalid_request("WorkGroup %s is disabled." % self.name)
        if self.engine_version == SQL_ENGINE_VERSION:
            raise invalid_request("Workgroup EngineVersion is not Spark.")
        if self.execution_role is None and "ExecutionRole" not in members:
            raise invalid_request("executionRole is null or empty")
        if self.engine_version == SPARK_35_ENGINE_VERSION:
            for name in _NOT_IN_SPARK_35:
                if name in members["EngineConfiguration"]:
                    raise invalid_request("%s is not supported for %s." % (name, self.engine_version))


def check_calculations(engine_version: str) -> None:
    """Whether sessions of an engine have calculations. Raises AwsError InvalidRequestException.

    https://docs.aws.amazon.com/athena/latest/ug/notebooks-spark-considerations-and-limitations.html
    """
    if engine_version != PYSPARK_ENGINE_VERSION:
        raise invalid_request("Calculations are not supported for %s." % engine_version)


class WorkGroups:
    """The work groups by name. Safe to use from any thread."""

    def __init__(self, spark: Iterable[str], sql: Iterable[str], others: Iterable[Any], output_location: str):
        """spark, sql: the names of those there are at the start. others: what put() takes, of further ones or to change
        these. output_location: where nothing else is said. Raises ValueError as put() does."""
        self._output_location = output_location
        self._lock = threading.Lock()
        self._created = time.time()
        groups = [self._new(name, PYSPARK_ENGINE_VERSION) for name in spark]
        groups += [self._new(name, SQL_ENGINE_VERSION) for name in sql]
        self._groups: Dict[str, WorkGroup] = {group.name: group for group in groups}
        for members in others:
            self.put(members)
        self._first = dict(self._groups)

    def reset(self) -> None:
        """Brings back those of the start, as they were, and forgets the others."""
        with self._lock:
            self._groups = dict(self._first)

    def find(self, name: str) -> WorkGroup:
        """The work group of that name. Raises AwsError InvalidRequestException."""
        with self._lock:
            group = self._groups.get(name)
        if group is None:
            raise invalid_request("WorkGroup %s is not found." % name)
        return group

    def all(self) -> List[WorkGroup]:
        """All of them by name."""
        with self._lock:
            return sorted(self._groups.values())

    def put(self, members: Any) -> Dict[str, Any]:
        """Adds a work group, or changes the one of that name; what is not given stays, or is as at the start.

        members: name, engine_version, execution_role, output_location, state. Gives them as they are now. Raises
        ValueError that says what is wrong with them. Limits:
        https://docs.aws.amazon.com/athena/latest/APIReference/API_WorkGroupConfiguration.html
        """
        if not isinstance(members, dict) or not isinstance(members.get("name"), str) or not _NAME.match(members["name"]):
            raise ValueError("a work group needs a name of 1 to 128 letters, digits and ._-")
        for key, value in members.items():
            if key == "engine_version":
                _check_one_of(key, value, ENGINE_VERSIONS)
            elif key == "state":
                _check_one_of(key, value, STATES)
            elif key == "execution_role":
                if value is not None and not (isinstance(value, str) and 20 <= len(value) <= 2048 and _ROLE.match(value)):
                    raise ValueError("execution_role takes arn:aws:iam::ACCOUNT:role/NAME or null")
            elif key == "output_location":
                if value is not None and not (isinstance(value, str) and _LOCATION.match(value)):
                    raise ValueError("output_location takes s3://BUCKET/ with or without a folder, or null")
            elif key != "name":
                raise ValueError("a work group has no %r; it may have name, engine_version, execution_role, output_location, "
                                 "state" % key)
        with self._lock:
            group = self._groups.get(members["name"]) or self._new(
                members["name"], members.get("engine_version", PYSPARK_ENGINE_VERSION))
            group = group._replace(**members)
            self._groups[group.name] = group
        return {name: value for name, value in group._asdict().items() if name != "created"}

    def _new(self, name: str, engine_version: str) -> WorkGroup:
        role = None if engine_version == SQL_ENGINE_VERSION else EXECUTION_ROLE
        return WorkGroup(name, engine_version, role, self._output_location, "ENABLED", self._created)


def _check_one_of(key: str, value: Any, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError("%s takes one of %s" % (key, ", ".join(known)))
