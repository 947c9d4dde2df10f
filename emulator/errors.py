"""The one exception by which every part of the emulator refuses a request."""

from __future__ import annotations

from typing import Dict, Optional


class AwsError(Exception):
    """A request is refused; the service's front end (athena.py, s3.py) turns this into its own wire format.

    code: AWS's name of the error, such as ``InvalidRequestException`` or ``NoSuchKey``.
    message: AWS's sentence for people.
    status: the HTTP status.
    members: further members of the answer (JSON members for Athena, XML elements for S3).
    """

    def __init__(self, code: str, message: str, status: int = 400, members: Optional[Dict[str, str]] = None):
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}


def invalid_request(message: str) -> AwsError:
    """The error by which Athena refuses what its caller got wrong."""
    return AwsError("InvalidRequestException", message, 400, {"AthenaErrorCode": "INVALID_INPUT"})
