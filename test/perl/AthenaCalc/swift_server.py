"""OpenStack Swift with its S3 API, all of it on loopback: an S3 that is not ours and that verifies signatures.

    python3 swift_server.py DIRECTORY REGION ACCOUNT:USER SECRET_KEY PAGE

It takes Debian's python3-swift. The access key is ACCOUNT:USER; a list has at most PAGE keys. Objects are in memory,
because Swift's object server wants a file system with user xattrs; accounts and containers are in DIRECTORY, which is
the caller's to remove. When it serves, it prints "listening on URL"; it ends when its standard input does.
"""

import array
import ctypes
import logging
import os
import signal
import sys
import traceback

import eventlet
from swift.common import utils
from swift.common.ring import RingData
from swift.common.wsgi import run_server

STORAGE = ("account", "container", "object")
PIPELINE = "catch_errors gatekeeper memory listing_formats s3api tempauth bulk slo dlo proxy-server"
# Those of the pipeline that need no settings.
FILTERS = ("catch_errors", "gatekeeper", "listing_formats", "bulk", "slo", "dlo")
PR_SET_PDEATHSIG = 1

SWIFT = """
[swift-hash]
swift_hash_path_suffix = athena_calc
"""

DEFAULTS = """
[DEFAULT]
swift_dir = {directory}
devices = {directory}
mount_check = false
log_level = WARNING
log_custom_handlers = swift_server.log_to_stderr
"""

SERVER = DEFAULTS + """
[app:main]
use = egg:swift#{name}
"""

FILTER = """
[filter:{name}]
use = egg:swift#{name}
"""

PROXY = DEFAULTS + """
[pipeline:main]
pipeline = {pipeline}

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

{filters}
[filter:memory]
paste.filter_factory = swift_server:memory_factory

[filter:s3api]
use = egg:swift#s3api
location = {region}
storage_domain = s3.localhost
max_bucket_listing = {page}

[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret_key} .admin
"""


class Memory:
    """Stands in for memcached, which tempauth asks for and the proxy is slow without. It forgets nothing by itself."""

    def __init__(self):
        self.values = {}

    def get(self, key, **_options):
        return self.values.get(key)

    def set(self, key, value, **_options):
        self.values[key] = value

    def delete(self, key, **_options):
        self.values.pop(key, None)


def memory_factory(_configuration, **_options):
    """Puts the Memory where Swift looks for memcached."""
    memory = Memory()

    def add_memory(app):
        def serve(environment, start_response):
            environment["swift.cache"] = memory
            return app(environment, start_response)
        return serve
    return add_memory


def log_to_stderr(_configuration, _name, _console, _route, log_format, logger, _adapted):
    """Gives Swift's own words, which go to syslog, to standard error, too."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(log_format))
    logger.addHandler(handler)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return os.path.abspath(path)


def serve(listener, configuration):
    """Starts a process that serves, and ends with this one at the latest. Its number."""
    pid = os.fork()
    if pid == 0:
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            for descriptor in (0, 1):
                os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
            utils.eventlet_monkey_patch()
            run_server({"__file__": configuration}, utils.get_logger({}, "swift"), listener)
        finally:
            traceback.print_exc()
            os._exit(1)
    listener.close()
    return pid


def main(directory, region, access_key, secret_key, page):
    account, user = access_key.split(":")
    # Nobody else can take a port that is listened on from here on.
    listeners = {name: eventlet.listen(("127.0.0.1", 0)) for name in STORAGE + ("proxy",)}
    ports = {name: listener.getsockname()[1] for name, listener in listeners.items()}

    os.chdir(directory)
    os.mkdir("device")
    write("swift.conf", SWIFT)
    for name in STORAGE:
        device = {"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": ports[name], "device": "device",
                  "weight": 1.0, "meta": "", "replication_ip": "127.0.0.1", "replication_port": ports[name]}
        RingData([array.array("H", [0, 0])], [device], 31).save(name + ".ring.gz")

    texts = {name: SERVER.format(directory=directory, name="mem_object" if name == "object" else name) for name in STORAGE}
    texts["proxy"] = PROXY.format(
        directory=directory, region=region, page=page, account=account, user=user, secret_key=secret_key, pipeline=PIPELINE,
        filters="".join(FILTER.format(name=name) for name in FILTERS))
    utils.set_swift_dir(directory)
    pids = [serve(listeners[name], write(name + ".conf", text)) for name, text in texts.items()]
    print("listening on http://127.0.0.1:%d" % ports["proxy"], flush=True)
    sys.stdin.buffer.read()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
