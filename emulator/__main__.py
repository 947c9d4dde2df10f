"""The command line: python3 -m emulator."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from typing import Any, Dict, List, Optional, Tuple

from . import athena, s3, sts, tls
from .athena import AthenaService
from .authorization import Credentials, Keys, Verifier
from .control import Control
from .faults import Faults
from .journal import Journal
from .metadata import ContainerService, MetadataService
from .objects import ObjectStore
from .s3 import S3Service
from .server import Server, Service
from .sessions import SPARK_STORE, SessionManager
from .settings import Settings
from .sts import StsService
from .webhdfs import WebHdfsService
from .work_groups import WorkGroups

DEFAULT_CREDENTIALS = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SQL_WORK_GROUP = "sql-only"


def parse_arguments(arguments: Optional[List[str]] = None) -> argparse.Namespace:
    """The command line's options. Exits with status 2 and a message when they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python3 -m emulator",
        description="A local Amazon Athena (for Apache Spark calculations) and Amazon S3 that really run the code.")

    def credentials(text: str) -> Credentials:
        try:
            return Credentials.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    def role(text: str) -> Tuple[str, Optional[str]]:
        try:
            return sts.parse_role(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    def json_value(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError("is not JSON: %s" % error) from None

    def seconds(text: str) -> float:
        value = float(text)
        if value < 0:
            raise argparse.ArgumentTypeError("cannot be negative")
        return value

    def port(text: str) -> int:
        value = int(text)
        if not 0 <= value <= 65535:
            raise argparse.ArgumentTypeError("is no port: %s" % text)
        return value

    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=port, default=0, help="port to listen on; 0 takes a free one (%(default)s)")
    parser.add_argument("--tls", action="store_true", help="serve https; without --certificate, with a certificate made "
                        "for this run, whose authority's file is printed")
    parser.add_argument("--certificate", metavar="FILE", help="PEM file of the server's certificate chain")
    parser.add_argument("--key", metavar="FILE", help="PEM file of its private key")
    parser.add_argument("--region", default="us-east-1", help="the region that requests must be signed for (%(default)s)")
    parser.add_argument("--credentials", type=credentials, action="append",
                        metavar="ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]",
                        help="who may sign requests; may be repeated (%s)" % DEFAULT_CREDENTIALS.replace("%", "%%"))
    parser.add_argument("--state-dir", metavar="DIRECTORY", help="where objects and sessions keep their files (a temporary "
                        "directory, removed at the end)")
    parser.add_argument("--work-group", action="append", metavar="NAME", help="a Spark work group; may be repeated (primary "
                        "and spark); %s is always there and is not Spark" % SQL_WORK_GROUP)
    parser.add_argument("--add-work-group", type=json_value, action="append", default=[], metavar="JSON",
                        help="a further work group, or one of these changed, as POST /_emulator/work_group takes it; may be "
                        "repeated")
    parser.add_argument("--bucket", default="athena-emulator", help="the bucket of the results (%(default)s)")
    parser.add_argument("--create-bucket", action="append", default=[], metavar="NAME[:REGION]",
                        help="a further bucket, perhaps of another region; may be repeated")
    parser.add_argument("--sts-role", type=role, action="append", default=[], metavar="ARN[:EXTERNAL_ID]",
                        help="a role that may be assumed, perhaps only with an external id; may be repeated")
    parser.add_argument("--metadata", action="store_true", help="serve EC2's instance metadata, version 2, under /latest/")
    parser.add_argument("--container-token", metavar="TOKEN", help="serve a container's credentials at /v1/credentials to "
                        "those who send this token")
    parser.add_argument("--session-start-seconds", type=seconds, default=0.0, metavar="SECONDS",
                        help="time a session spends in CREATING and CREATED (%(default)s)")
    parser.add_argument("--control", action="store_true", help="enable the control paths under /_emulator/")
    parser.add_argument("--python", default=sys.executable, metavar="FILE", help="the interpreter of the sessions "
                        "(%(default)s)")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input ends")
    options = parser.parse_args(arguments)
    if (options.certificate is None) != (options.key is None):
        parser.error("--certificate and --key belong together")
    if options.certificate is not None and not options.tls:
        parser.error("--certificate needs --tls")
    return options


def session_environment(endpoint: str, region: str, credentials: Credentials, authority: Optional[str]) -> Dict[str, str]:
    """The environment of the sessions' processes: AWS SDKs in them reach this emulator, never the user's own account."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment.update({
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    })
    if credentials.session_token is not None:
        environment["AWS_SESSION_TOKEN"] = credentials.session_token
    if authority is not None:
        environment["AWS_CA_BUNDLE"] = authority
    return environment


def run(options: argparse.Namespace, state_directory: str, stop: threading.Event) -> None:
    """Serves until stop is set. Raises OSError and ValueError when it cannot begin."""
    directories = {name: os.path.join(state_directory, name) for name in ("objects", "sessions", "tls")}
    for directory in directories.values():
        os.makedirs(directory, exist_ok=True)

    authority, context = None, None
    if options.tls:
        certificate, key = options.certificate, options.key
        if certificate is None:
            authority, certificate, key = tls.make_certificates(directories["tls"], options.host)
        context = tls.context(certificate, key)

    credentials = options.credentials or [Credentials.parse(DEFAULT_CREDENTIALS)]
    buckets = {options.bucket: options.region}
    for name, _, region in (item.partition(":") for item in options.create_bucket):
        buckets[name] = region or options.region
    settings = Settings(options.session_start_seconds)
    store = ObjectStore(directories["objects"])
    for bucket, region in buckets.items():
        store.create_bucket(bucket, region)
    # The endpoint is known only once the port is; sessions start later still.
    environment: Dict[str, str] = {}
    manager = SessionManager(store, options.bucket, settings, options.python, environment, directories["sessions"])
    work_groups = WorkGroups(options.work_group or ("primary", "spark"), (SQL_WORK_GROUP,), options.add_work_group,
                             "s3://%s/" % options.bucket)
    athena_service = AthenaService(manager, settings, work_groups)
    s3_service = S3Service(store, settings, options.region)
    keys = Keys(credentials, settings)
    verifier = Verifier(keys, options.region, settings, s3_service.region_for)
    sts_service = StsService(keys, verifier, dict(options.sts_role), settings)
    services = [
        Service("sts", sts.operation_name, sts_service.verify, sts_service.handle, sts_service.refuse),
        Service("athena", athena.operation_name, lambda request, operation: verifier.verify(request, "athena"),
                athena_service.handle, athena_service.refuse),
        Service("s3", s3.operation_name, lambda request, operation: verifier.verify(request, "s3"), s3_service.handle,
                s3_service.refuse, s3_service.replace, s3_service.lose),
    ]
    if options.metadata:
        metadata = MetadataService(keys, options.region, settings)
        services.insert(0, Service("metadata", metadata.operation_name, metadata.verify, metadata.handle, metadata.refuse))
    if options.container_token is not None:
        container = ContainerService(keys, options.container_token, settings)
        services.insert(0, Service("container", container.operation_name, container.verify, container.handle,
                                   container.refuse))
    faults, journal = Faults(), Journal()

    def reset() -> None:
        manager.reset()
        athena_service.forget_answers()
        work_groups.reset()
        faults.clear()
        settings.reset()
        store.clear(buckets)
        webhdfs.clear()
        keys.clear()
        journal.reset()

    # What only the sessions' Spark is served by: a port of its own, without TLS and log.
    secret = secrets.token_urlsafe(16)
    webhdfs = WebHdfsService(store, secret)
    spark_server = Server([Service("webhdfs", webhdfs.operation_name, webhdfs.verify, webhdfs.handle, webhdfs.refuse)],
                          Faults(), Journal(), settings, lambda request: (None, None), None, None)

    server = Server(services, faults, journal, settings, verifier.claimed_signer,
                    Control(faults, settings, journal, manager, work_groups, reset) if options.control else None, context)
    port = server.listen(options.host, options.port)
    endpoint = "%s://%s:%d" % ("https" if options.tls else "http",
                               "[%s]" % options.host if ":" in options.host else options.host, port)
    environment.update(session_environment(endpoint, options.region, credentials[0], authority))
    environment[SPARK_STORE] = "127.0.0.1:%d/%s" % (spark_server.listen("127.0.0.1", 0), secret)
    if authority is not None:
        print("certificate authority %s" % authority)
    print("listening on %s" % endpoint, flush=True)
    try:
        stop.wait()
    finally:
        manager.reset()


def main() -> int:
    """Runs the emulator; returns the exit status."""
    options = parse_arguments()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *ignored: stop.set())
    if options.exit_with_parent:
        def wait_for_end_of_input() -> None:
            while os.read(0, 4096):
                pass
            stop.set()

        threading.Thread(target=wait_for_end_of_input, daemon=True).start()

    temporary = tempfile.mkdtemp(prefix="athena-emulator-") if options.state_dir is None else None
    try:
        run(options, os.path.abspath(temporary or options.state_dir), stop)
    except (OSError, ValueError) as error:
        print("emulator: %s" % error, file=sys.stderr)
        return 1
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
