"""The emulator tests' own client, which signs and speaks TLS, for Perl, whose core does neither (AthenaCalc::Client).

Arguments: netloc, certificate authority or nothing, access key, secret key. Standard input has requests: a line of JSON, which is
method, target, region or null for an unsigned one, and the number of the body's bytes; and those. The answer to each is a line with
its status, 0 where there was none, and the number of bytes that follow: the body, or what went wrong.
"""

import http.client
import json
import sys
import types

from client import Client


def answer_to(emulator, keys, method, target, region, body):
    """Status and body."""
    # Each on a connection of its own: the server may have been away in between.
    client = Client(emulator, *keys, region=region or "us-east-1")
    try:
        headers = client.sign(method, target, body, service="s3") if region else {"host": emulator.netloc}
        answer = client.send(method, target, headers, body)
        return answer.status, answer.body
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()
    finally:
        client.close()


def main():
    netloc, authority, *keys = sys.argv[1:]
    emulator = types.SimpleNamespace(netloc=netloc, authority=authority)
    for line in sys.stdin.buffer:
        method, target, region, length = json.loads(line)
        status, body = answer_to(emulator, keys, method, target, region, sys.stdin.buffer.read(length))
        sys.stdout.buffer.write(b"%d %d\n" % (status, len(body)))
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


main()
