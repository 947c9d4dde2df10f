#!/usr/bin/env python3
"""Inputs to begin fuzzing with: the seeds of each target, and what the official test data has for it.

corpora.py VECTORS DIRECTORY TARGET...

Writes DIRECTORY/TARGET/*. VECTORS is where the unit tests' data is (test/unit/Makefile says more); what is not there is
left out. What was there already, an earlier run has found; it stays.
"""

import hashlib
import json
import pathlib
import re
import sys

SEEDS = pathlib.Path(__file__).parent / "seeds"

# A body of one of Smithy's tests, between one or three quotes.
BODY = re.compile(r'body: (?:"""(.*?)"""|"((?:[^"\\]|\\.)*)")', re.DOTALL)
STATUS = re.compile(r"code: (\d{3})")
HEADER = re.compile(r'"(X-Amzn-[^"]*|Content-Type)": "([^"]*)"')

# What the first byte of an input chooses: an error of awsJson 1.1, Athena's.
JSON_ERROR = b"\x08"


def smithy_tests(vectors):
    """The answers of Smithy's protocol tests: status, headers, body."""
    for path in sorted(vectors.glob("smithy/**/*.smithy")):
        for test in re.split(r"\bid: ", path.read_text())[1:]:
            body = BODY.search(test)
            status = STATUS.search(test)
            if body:
                text = body.group(1) if body.group(1) is not None else body.group(2).replace('\\"', '"')
                yield status.group(1) if status else "200", HEADER.findall(test), text.strip()


def from_vectors(target, vectors):
    """The inputs for a target that the official test data has."""
    if target in ("json", "marshal"):
        for _, _, body in smithy_tests(vectors):
            yield body.encode()
    elif target == "call":
        for status, headers, body in smithy_tests(vectors):
            lines = [status] + [f"{name}: {value}" for name, value in headers] + ["", body]
            yield JSON_ERROR + "\n".join(lines).encode()
    elif target == "uri":
        for path in sorted(vectors.glob("botocore/*-endpoint-tests.json")):
            for case in json.loads(path.read_text())["testCases"]:
                url = case["expect"].get("endpoint", {}).get("url", "")
                yield f"0{url}\n---\n{case.get('params', {}).get('Region', '')}".encode()
    elif target == "sigv4":
        for path in sorted(vectors.glob("sigv4/v4/*/request.txt")):
            yield b"3" + path.read_bytes()


def main():
    """Writes the corpora."""
    vectors, directory = map(pathlib.Path, sys.argv[1:3])
    for target in sys.argv[3:]:
        corpus = directory / target
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = [path.read_bytes() for path in sorted((SEEDS / target).glob("*"))]
        for data in seeds + list(from_vectors(target, vectors)):
            (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)


main()
