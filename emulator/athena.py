"""Athena's operations over the awsJson 1.1 protocol, on the sessions of sessions.py.

https://docs.aws.amazon.com/athena/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import base64
import json
import uuid
from email.utils import formatdate
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from . import model
from .errors import AwsError, invalid_request
from .sessions import RESULT_TYPE, Calculation, Session, SessionManager, timestamp, without_none
from .settings import Settings
from .wire import Request, Response
from .work_groups import (PYSPARK_ENGINE_VERSION, SPARK_35_ENGINE_VERSION, SQL_ENGINE_VERSION, WorkGroups,
                          check_calculations)

CONTENT_TYPE = "application/x-amz-json-1.1"
TARGET_PREFIX = "AmazonAthena."
# Those that ListEngineVersions names.
LISTED_ENGINE_VERSIONS = (PYSPARK_ENGINE_VERSION, SQL_ENGINE_VERSION)
# https://docs.aws.amazon.com/athena/latest/APIReference/API_StartSession.html, NotebookVersion
NOTEBOOK_VERSION = "Athena notebook version 1"
APPLICATION_DPU_SIZES = [{"ApplicationRuntimeId": "Jupyter 1.0", "SupportedDPUSizes": [1]}]

# The model bounds the list of an answer of ListNotebookSessions and ListEngineVersions at 10, of ListWorkGroups at 50.
PAGE_SIZE, SMALL_PAGE_SIZE, WORK_GROUP_PAGE_SIZE = 100, 10, 50


def operation_name(request: Request) -> Optional[str]:
    """The operation that X-Amz-Target names, whether there is one of that name or not; None for other services' requests."""
    target = request.fields.get("x-amz-target")
    if request.method != "POST" or target is None:
        return None
    return target[len(TARGET_PREFIX):] if target.startswith(TARGET_PREFIX) else target


class AthenaService:
    """Answers Athena's requests."""

    def __init__(self, manager: SessionManager, settings: Settings, work_groups: WorkGroups):
        self._manager = manager
        self._settings = settings
        self._work_groups = work_groups
        # What the starts with a token have given: (parameters, answer) by operation and token.
        self._answers: Dict[Tuple[str, str], Tuple[Dict[str, Any], Dict[str, Any]]] = {}
        self._operations: Dict[str, Callable[[Dict[str, Any]], Dict[str, Any]]] = {
            "StartSession": self._start_session,
            "GetSession": self._get_session,
            "GetSessionStatus": self._get_session_status,
            "TerminateSession": self._terminate_session,
            "ListSessions": self._list_sessions,
            "StartCalculationExecution": self._start_calculation_execution,
            "GetCalculationExecution": self._get_calculation_execution,
            "GetCalculationExecutionStatus": self._get_calculation_execution_status,
            "GetCalculationExecutionCode": self._get_calculation_execution_code,
            "StopCalculationExecution": self._stop_calculation_execution,
            "ListCalculationExecutions": self._list_calculation_executions,
            "ListExecutors": self._list_executors,
            "ListNotebookSessions": self._list_notebook_sessions,
            "ListEngineVersions": self._list_engine_versions,
            "ListApplicationDPUSizes": self._list_application_dpu_sizes,
            "GetWorkGroup": self._get_work_group,
            "ListWorkGroups": self._list_work_groups,
        }

    def handle(self, operation: str, request: Request) -> Response:
        """Carries out a request that is authorized. Raises AwsError."""
        handler = self._operations.get(operation)
        if handler is None or request.fields.get("content-type") != CONTENT_TYPE:
            raise AwsError("UnknownOperationException", "Unknown operation or content type.", 400)
        members = model.validated(operation, _parsed(request.body))
        with self._manager.lock:
            answer = handler(members)
        return self._response(200, answer)

    def refuse(self, error: AwsError, request: Request) -> Response:
        """Athena's answer to a request that an error ended."""
        return self._response(error.status, {"__type": error.code, **error.members, "Message": error.message})

    def forget_answers(self) -> None:
        """Forgets all tokens."""
        with self._manager.lock:
            self._answers.clear()

    def _response(self, status: int, answer: Dict[str, Any]) -> Response:
        return Response(status, {
            "x-amzn-RequestId": str(uuid.uuid4()),
            "Content-Type": CONTENT_TYPE,
            "Date": formatdate(self._settings.now(), usegmt=True),
        }, json.dumps(answer, ensure_ascii=False).encode("utf-8", "backslashreplace"))

    def _once(self, operation: str, members: Dict[str, Any], start: Callable[[], Dict[str, Any]]) -> Dict[str, Any]:
        """Starts something, or gives the answer that the same token with the same parameters was given before.

        https://docs.aws.amazon.com/athena/latest/APIReference/API_StartCalculationExecution.html, ClientRequestToken
        """
        token = members.get("ClientRequestToken")
        if token is None:
            return start()
        known = self._answers.get((operation, token))
        if known is not None:
            if known[0] != members:
                raise invalid_request("Idempotent parameters do not match")
            return known[1]
        answer = start()
        self._answers[operation, token] = (members, answer)
        return answer

    # Sessions.

    def _start_session(self, members: Dict[str, Any]) -> Dict[str, Any]:
        def start() -> Dict[str, Any]:
            group = self._work_groups.find(members["WorkGroup"])
            group.check_start(members)
            notebook_id = members["EngineConfiguration"].get("AdditionalConfigs", {}).get("NotebookId")
            _check_notebook_version(members.get("NotebookVersion"), notebook_id)
            if notebook_id is not None and any(session.notebook_id == notebook_id and session.ended is None
                                               for session in self._manager.sessions()):
                raise AwsError("SessionAlreadyExistsException", "Session already exists for notebook %s." % notebook_id)
            session = self._manager.start_session(members, group.engine_version,
                                                  members.get("ExecutionRole", group.execution_role))
            return {"SessionId": session.id, "State": session.state}

        return self._once("StartSession", members, start)

    def _get_session(self, members: Dict[str, Any]) -> Dict[str, Any]:
        session = self._manager.session(members["SessionId"])
        request = session.request
        sizes = {"MaxConcurrentDpus": session.worker_count + 1}
        if session.engine_version != SPARK_35_ENGINE_VERSION:
            sizes.update(CoordinatorDpuSize=1, DefaultExecutorDpuSize=1)
        return without_none({
            "SessionId": session.id,
            "Description": session.description,
            "WorkGroup": session.work_group,
            "EngineVersion": session.engine_version,
            "EngineConfiguration": {**sizes, **request["EngineConfiguration"]},
            "NotebookVersion": request.get("NotebookVersion"),
            "MonitoringConfiguration": request.get("MonitoringConfiguration"),
            "SessionConfiguration": {
                "ExecutionRole": session.execution_role,
                "WorkingDirectory": "s3://%s/%s" % (self._manager.bucket, session.id),
                "IdleTimeoutSeconds": session.idle_timeout_minutes * 60,
                "SessionIdleTimeoutInMinutes": session.idle_timeout_minutes,
            },
            "Status": session.status(),
            "Statistics": {"DpuExecutionInMillis": sum(item.run_millis() for item in session.calculations)},
        })

    def _get_session_status(self, members: Dict[str, Any]) -> Dict[str, Any]:
        session = self._manager.session(members["SessionId"])
        return {"SessionId": session.id, "Status": session.status()}

    def _terminate_session(self, members: Dict[str, Any]) -> Dict[str, Any]:
        return {"State": self._manager.session(members["SessionId"]).terminate()}

    def _list_sessions(self, members: Dict[str, Any]) -> Dict[str, Any]:
        self._work_groups.find(members["WorkGroup"])
        found = [(session.number, session) for session in reversed(self._manager.sessions())
                 if session.work_group == members["WorkGroup"] and self._is_listed(session, members.get("StateFilter"))]
        page, token = _page("ListSessions", members, found)
        return without_none({"Sessions": [self._session_summary(session) for session in page], "NextToken": token})

    @staticmethod
    def _is_listed(session: Session, state: Optional[str]) -> bool:
        """Whether a list has a session: one that is active, or one in the state that is asked for.

        https://docs.aws.amazon.com/athena/latest/APIReference/API_ListSessions.html
        """
        return session.ended is None if state is None else session.state == state

    @staticmethod
    def _session_summary(session: Session) -> Dict[str, Any]:
        return without_none({
            "SessionId": session.id,
            "Description": session.description,
            "EngineVersion": _engine_version_members(session.engine_version),
            "NotebookVersion": session.request.get("NotebookVersion"),
            "Status": session.status(),
        })

    def _list_executors(self, members: Dict[str, Any]) -> Dict[str, Any]:
        session = self._manager.session(members["SessionId"])
        state = "TERMINATED" if session.ended is not None else (
            session.state if session.state in ("CREATING", "CREATED", "TERMINATING") else "REGISTERED")
        executors = []
        if members.get("ExecutorStateFilter") in (None, state):
            # These two times are milliseconds since 1970, unlike all others:
            # https://docs.aws.amazon.com/athena/latest/APIReference/API_ExecutorsSummary.html
            executors = [(number, without_none({
                "ExecutorId": "%s-%d" % (session.id, number),
                "ExecutorType": "COORDINATOR" if number == 0 else "WORKER",
                "StartDateTime": int(session.started * 1000),
                "TerminationDateTime": None if session.ended is None else int(session.ended * 1000),
                "ExecutorState": state,
                "ExecutorSize": 1,
            })) for number in range(session.worker_count, -1, -1)]
        page, token = _page("ListExecutors", members, executors)
        return without_none({"SessionId": session.id, "ExecutorsSummary": page, "NextToken": token})

    def _list_notebook_sessions(self, members: Dict[str, Any]) -> Dict[str, Any]:
        found = [(session.number, {"SessionId": session.id, "CreationTime": timestamp(session.started)})
                 for session in reversed(self._manager.sessions())
                 if session.notebook_id == members["NotebookId"] and session.ended is None]
        page, token = _page("ListNotebookSessions", members, found, SMALL_PAGE_SIZE)
        return without_none({"NotebookSessionsList": page, "NextToken": token})

    # Calculations.

    def _start_calculation_execution(self, members: Dict[str, Any]) -> Dict[str, Any]:
        def start() -> Dict[str, Any]:
            codes = [code for code in (members.get("CodeBlock"),
                                       members.get("CalculationConfiguration", {}).get("CodeBlock")) if code is not None]
            if len(codes) != 1:
                raise invalid_request("Exactly one of CodeBlock and CalculationConfiguration.CodeBlock is required.")
            session = self._manager.session(members["SessionId"])
            check_calculations(session.engine_version)
            calculation = self._manager.start_calculation(session, codes[0], members.get("Description"))
            return {"CalculationExecutionId": calculation.id, "State": calculation.state}

        return self._once("StartCalculationExecution", members, start)

    def _get_calculation_execution(self, members: Dict[str, Any]) -> Dict[str, Any]:
        calculation = self._manager.calculation(members["CalculationExecutionId"])
        return without_none({
            "CalculationExecutionId": calculation.id,
            "SessionId": calculation.session.id,
            "Description": calculation.description,
            "WorkingDirectory": self._working_directory(calculation),
            "Status": calculation.status(),
            "Statistics": calculation.statistics(),
            "Result": self._result(calculation),
        })

    def _working_directory(self, calculation: Calculation) -> str:
        return "s3://%s/%s/%s" % (self._manager.bucket, calculation.session.id, calculation.id)

    def _result(self, calculation: Calculation) -> Optional[Dict[str, str]]:
        if calculation.state not in self._settings.results_for:
            return None
        directory = self._working_directory(calculation)
        return {"StdOutS3Uri": directory + "/stdout", "StdErrorS3Uri": directory + "/stderr",
                "ResultS3Uri": directory + "/result", "ResultType": RESULT_TYPE}

    def _get_calculation_execution_status(self, members: Dict[str, Any]) -> Dict[str, Any]:
        calculation = self._manager.calculation(members["CalculationExecutionId"])
        return {"Status": calculation.status(), "Statistics": calculation.statistics()}

    def _get_calculation_execution_code(self, members: Dict[str, Any]) -> Dict[str, Any]:
        return {"CodeBlock": self._manager.calculation(members["CalculationExecutionId"]).code}

    def _stop_calculation_execution(self, members: Dict[str, Any]) -> Dict[str, Any]:
        calculation = self._manager.calculation(members["CalculationExecutionId"])
        return {"State": calculation.session.stop(calculation)}

    def _list_calculation_executions(self, members: Dict[str, Any]) -> Dict[str, Any]:
        session = self._manager.session(members["SessionId"])
        check_calculations(session.engine_version)
        found = [(item.number, item) for item in reversed(session.calculations)
                 if members.get("StateFilter") in (None, item.state)]
        page, token = _page("ListCalculationExecutions", members, found)
        return without_none({"Calculations": [without_none({
            "CalculationExecutionId": item.id, "Description": item.description, "Status": item.status(),
        }) for item in page], "NextToken": token})

    # The service.

    def _list_engine_versions(self, members: Dict[str, Any]) -> Dict[str, Any]:
        versions = [(-number, _engine_version_members(name)) for number, name in enumerate(LISTED_ENGINE_VERSIONS)]
        page, token = _page("ListEngineVersions", members, versions, SMALL_PAGE_SIZE)
        return without_none({"EngineVersions": page, "NextToken": token})

    def _list_application_dpu_sizes(self, members: Dict[str, Any]) -> Dict[str, Any]:
        sizes = [(-number, item) for number, item in enumerate(APPLICATION_DPU_SIZES)]
        page, token = _page("ListApplicationDPUSizes", members, sizes)
        return without_none({"ApplicationDPUSizes": page, "NextToken": token})

    def _get_work_group(self, members: Dict[str, Any]) -> Dict[str, Any]:
        group = self._work_groups.find(members["WorkGroup"])
        configuration = without_none({
            "ResultConfiguration": without_none({"OutputLocation": group.output_location}),
            "EnforceWorkGroupConfiguration": True,
            "PublishCloudWatchMetricsEnabled": False,
            "RequesterPaysEnabled": False,
            "EngineVersion": _engine_version_members(group.engine_version),
            "ExecutionRole": group.execution_role,
        })
        return {"WorkGroup": {"Name": group.name, "State": group.state, "Configuration": configuration,
                              "CreationTime": timestamp(group.created)}}

    def _list_work_groups(self, members: Dict[str, Any]) -> Dict[str, Any]:
        groups = [(-number, {"Name": group.name, "State": group.state, "CreationTime": timestamp(group.created),
                             "EngineVersion": _engine_version_members(group.engine_version)})
                  for number, group in enumerate(self._work_groups.all())]
        page, token = _page("ListWorkGroups", members, groups, WORK_GROUP_PAGE_SIZE)
        return without_none({"WorkGroups": page, "NextToken": token})


def _engine_version_members(version: str) -> Dict[str, str]:
    return {"SelectedEngineVersion": version, "EffectiveEngineVersion": version}


def _check_notebook_version(version: Optional[str], notebook_id: Optional[str]) -> None:
    """Raises AwsError for a notebook version without a notebook, and for one that does not exist."""
    if version is not None and notebook_id is None:
        raise invalid_request("NotebookVersion requires a NotebookId in AdditionalConfigs.")
    if version not in (None, NOTEBOOK_VERSION):
        raise invalid_request("NotebookVersion must be '%s'." % NOTEBOOK_VERSION)


def _parsed(body: bytes) -> Any:
    """The JSON value of a request's body. Raises AwsError SerializationException."""
    def refuse_constant(name: str) -> Any:
        raise ValueError(name)

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise model.serialization_error("The request is not valid JSON.") from None


def _page(operation: str, members: Dict[str, Any], found: Sequence[Tuple[int, Any]],
          largest: int = PAGE_SIZE) -> Tuple[List[Any], Optional[str]]:
    """One page of a list, and the token for the next one or None.

    found: (number, item) with falling numbers. The token holds the last number given and what was asked, so that it
    stays right while items are added and serves no other request. Raises AwsError for any other token.
    """
    question = {"Operation": operation}
    question.update({name: value for name, value in members.items() if name not in ("MaxResults", "NextToken")})
    if "NextToken" in members:
        try:
            last, asked = json.loads(base64.urlsafe_b64decode(members["NextToken"].encode("ascii")).decode("utf-8"))
        except (ValueError, TypeError):
            last, asked = None, None
        if asked != question or type(last) is not int:
            raise invalid_request("The NextToken is not valid.")
        found = [pair for pair in found if pair[0] < last]
    size = min(members.get("MaxResults", largest), largest)
    page = found[:size]
    token = None
    if len(found) > size:
        token = base64.urlsafe_b64encode(json.dumps([page[-1][0], question]).encode()).decode()
    return [item for _, item in page], token
