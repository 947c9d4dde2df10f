"""The process of one session: runs code blocks one after the other in one namespace.

Started by interpreter.py as ``python kernel.py REQUEST_FD REPLY_FD``; it stands alone, so that a session may use another
Python than the emulator's. A frame is four bytes of length (big endian) and that much JSON. A request is
{"id", "code", "stdout", "stderr"}, the last two being files to write to. Replies are {"ready": true} once, then for each
request {"started": id} and {"ended": id, "error": null or one line, "interrupted": bool}.

The name ``spark`` is a SparkSession, made when code first uses it; SPARK_PROPERTIES in the environment is a JSON object of
its configuration, SPARK_STORE the host, port and path where the buckets of its s3:// are (webhdfs.py). A cell may begin with a
line ``%%pyspark`` or ``%%sql``: https://docs.aws.amazon.com/athena/latest/ug/notebooks-spark-magics.html
"""

import sys

# The folder of this file would otherwise shadow modules of the code's own choice.
sys.path[0] = ""

import builtins  # noqa: E402
import http.client  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import linecache  # noqa: E402
import os  # noqa: E402
import queue  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import struct  # noqa: E402
import threading  # noqa: E402
import traceback  # noqa: E402
import types  # noqa: E402

SPARK_PROPERTIES = "ATHENA_EMULATOR_SPARK_PROPERTIES"
SPARK_STORE = "ATHENA_EMULATOR_SPARK_STORE"

# One process on this machine, and nothing that others could reach.
SPARK_CONFIGURATION = {
    "spark.master": "local[*]",
    "spark.app.name": "athena-emulator",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Java that begins soon: what runs here is small, and is over before the second compiler's work would pay.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    # Each bucket is a table of mounts with one entry: where its objects are.
    # https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/ViewFsOverloadScheme.html
    "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
    "spark.hadoop.fs.s3a.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
}


def bucket_mounts():
    """The entries of Hadoop's configuration for all buckets there are."""
    host, _, path = os.environ.get(SPARK_STORE, "").partition("/")
    if not host:
        return {}
    # Not urllib, which would ask a proxy.
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request("GET", "/webhdfs/v1/%s?op=LISTSTATUS" % path)
        found = json.loads(connection.getresponse().read())["FileStatuses"]["FileStatus"]
    finally:
        connection.close()
    return {"fs.viewfs.mounttable.%s.linkFallback" % bucket["pathSuffix"]:
            "webhdfs://%s/%s/%s" % (host, path, bucket["pathSuffix"]) for bucket in found}


def make_spark():
    """A SparkSession. Raises RuntimeError that says what to install."""
    if importlib.util.find_spec("pyspark") is None:
        raise RuntimeError("spark needs pyspark, which this session's Python (%s) does not have: install pyspark for it (pip "
                           "install pyspark) and Java 17 or later" % sys.executable)
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise RuntimeError("spark needs Java, and there is neither a java command nor JAVA_HOME: install Java 17 or later")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.sql import SparkSession
    builder = SparkSession.builder
    mounts = {"spark.hadoop." + name: value for name, value in bucket_mounts().items()}
    configuration = {**SPARK_CONFIGURATION, **mounts, "spark.sql.warehouse.dir": os.path.abspath("spark-warehouse"),
                     **json.loads(os.environ.get(SPARK_PROPERTIES, "{}"))}
    for name, value in configuration.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


class LazyBuiltins(dict):
    """The built-in names of the code, and one more that is made when it is looked for.

    Python looks here for what the code has not defined itself, so that its own ``spark``, if it makes one, comes first.
    """

    def __init__(self, make):
        super().__init__(vars(builtins))
        self._make = make

    def __missing__(self, name):
        if name == "spark":
            return self._make()
        # What was added to the module since.
        return vars(builtins)[name]


class Kernel:
    """Runs requests until the other end of the request pipe is closed."""

    def __init__(self, request_fd, reply_fd):
        self._request_fd = request_fd
        self._reply_fd = reply_fd
        self._interruptible = False
        for fd in (request_fd, reply_fd):
            os.set_inheritable(fd, False)
        self._null = os.open(os.devnull, os.O_RDWR)
        # A module of its own, so that pickle and dataclasses find what the code defines where Python expects it.
        self._main = types.ModuleType("__main__")
        self._main.__builtins__ = LazyBuiltins(self._make_spark)
        self._spark = None
        self._requests = queue.SimpleQueue()

    def run(self):
        sys.modules["__main__"] = self._main
        # Lines appear as they are printed, in order with what subprocesses write.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        signal.signal(signal.SIGINT, self._interrupt)
        threading.Thread(target=self._receive, daemon=True).start()
        self._reply({"ready": True})
        while True:
            self._calculate(self._requests.get())

    def _receive(self):
        """Reads requests in a thread of its own, so that even a busy kernel notices that the emulator is gone."""
        # Interrupts are for the thread that runs the code: only there do they end a wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while True:
            head = self._read(4)
            self._requests.put(json.loads(self._read(struct.unpack(">I", head)[0]).decode("utf-8")))

    def _read(self, count):
        data = b""
        while len(data) < count:
            piece = os.read(self._request_fd, count - len(data))
            if not piece:
                # The emulator has ended: so do the code and whatever it started.
                os.killpg(0, signal.SIGKILL)
            data += piece
        return data

    def _reply(self, message):
        data = json.dumps(message).encode()
        data = struct.pack(">I", len(data)) + data
        while data:
            data = data[os.write(self._reply_fd, data):]

    def _interrupt(self, signum, frame):
        # At most once for each calculation: an interrupt can then never escape into the kernel's own code.
        if self._interruptible:
            self._interruptible = False
            if self._spark is not None:
                # In a thread of its own: the code may be in the middle of a call over the same connection.
                threading.Thread(target=self._spark.sparkContext.cancelAllJobs, daemon=True).start()
            raise KeyboardInterrupt

    def _make_spark(self):
        if self._spark is None:
            self._spark = make_spark()
            # pyspark puts a handler of its own there.
            signal.signal(signal.SIGINT, self._interrupt)
        self._main.spark = self._spark
        return self._spark

    def _mount_new_buckets(self):
        if self._spark is not None and self._spark.sparkContext._jsc is not None:
            configuration = self._spark.sparkContext._jsc.hadoopConfiguration()
            for name, value in bucket_mounts().items():
                configuration.set(name, value)

    def _redirect(self, stdout_fd, stderr_fd):
        for stream in {sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__}:
            try:
                stream.flush()
            except Exception:
                pass  # The code may have put anything in place of the streams, or closed them.
        os.dup2(stdout_fd, 1)
        os.dup2(stderr_fd, 2)

    def _calculate(self, request):
        stdout_fd = os.open(request["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        stderr_fd = os.open(request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._redirect(stdout_fd, stderr_fd)
        signal.signal(signal.SIGINT, self._interrupt)
        error = None
        interrupted = False
        try:
            self._interruptible = True
            self._reply({"started": request["id"]})
            self._mount_new_buckets()
            self._execute(request["id"], request["code"])
            self._interruptible = False
        except BaseException as exception:
            interrupted = isinstance(exception, KeyboardInterrupt) and not self._interruptible
            self._interruptible = False
            error = self._report(exception, stderr_fd)
        # What threads and subprocesses write later belongs to no calculation.
        self._redirect(self._null, self._null)
        os.close(stdout_fd)
        os.close(stderr_fd)
        self._reply({"ended": request["id"], "error": error, "interrupted": interrupted})

    def _execute(self, name, code):
        filename = "<calculation %s>" % name
        first, _, rest = code.partition("\n")
        magic = first.strip()
        if magic == "%%sql":
            code = "spark.sql(%r).show()" % rest.strip()
        elif magic == "%%pyspark":
            # An empty line in its place, so that lines keep their numbers.
            code = "\n" + rest
        elif magic.startswith("%%"):
            raise ValueError("a cell may begin with %%%%pyspark or %%%%sql, not with %s" % magic)
        # With its lines in the cache, tracebacks show the code, also those of functions that later calculations call.
        linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
        exec(compile(code, filename, "exec", dont_inherit=True), self._main.__dict__)

    @staticmethod
    def _report(exception, stderr_fd):
        """Writes the traceback to stderr as Python does and returns its last line."""
        # Without the kernel's own frames, which are the outermost two.
        frames = exception.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        text = "".join(traceback.format_exception(type(exception), exception, frames))
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(stderr_fd, data):]
        kind = type(exception)
        name = kind.__qualname__
        if kind.__module__ not in ("__main__", "builtins"):
            name = kind.__module__ + "." + name
        try:
            message = str(exception.msg if isinstance(exception, SyntaxError) else exception)
        except Exception:
            message = "<exception str() failed>"
        message = message.encode("utf-8", "backslashreplace").decode("utf-8")
        return name + ": " + message if message else name


if __name__ == "__main__":
    Kernel(int(sys.argv[1]), int(sys.argv[2])).run()
