#!/usr/bin/env python3
"""Holds the reader of shared files against botocore's: 3,000 random files and 3,000 random commands.

Usage: profile_botocore.py DRIVER [COUNT]

DRIVER is the built profile_driver.c. A file must be well-formed here if and only if botocore takes it,
and then every profile must have the keys and values that it has there. A command must have the words
that botocore gives to the program. Results come in TAP, a hundred comparisons each; without botocore
there is nothing to compare with, and all is skipped.

Left out, where they differ on purpose, or where botocore differs between versions of Python:

- A byte order mark, which botocore refuses, and bytes that are no UTF-8.
- A second ']' in the line of a section: the name ends at the first here, as with older Pythons.
- A section whose first word only begins with "profile", which botocore takes for a profile.
- White space beyond ASCII's, the separators U+001C to U+001F, and a vertical tab or a form feed inside a
  nested block: Python takes them for white space or for line ends.
- A nested block without '=' in [DEFAULT], which botocore looks at only where a profile takes it over.
- Keys in other capitals than ASCII's.
- A command without a word and one with a NUL, which fail only where botocore starts the program.
"""

import configparser
import io
import os
import random
import shlex
import subprocess
import sys
import tempfile

try:
    from botocore.compat import compat_shell_split
    from botocore.configloader import build_profile_map, raw_config_parse
    from botocore.exceptions import ConfigParseError
except ImportError:
    print("1..0 # SKIP botocore is not importable")
    sys.exit(0)

SEED = 20150830
BATCH = 100
NAMES = ["default", "x", "a b", "it's", "DEFAULT", "", "profile x", "y\\z"]
KEYS = ["region", "aws_access_key_id", "aws_secret_access_key", "credential_process", "s3", "k"]
WORD = "abcXYZ019/+=_-.%$#;:'\"\\[é"


class Generator:
    """Files that are nearly right, most of them, and commands full of quotes."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, probability):
        return self.random.random() < probability

    def choice(self, *choices):
        return self.random.choice(choices)

    def text(self, alphabet, longest):
        return "".join(self.random.choices(alphabet, k=self.random.randint(0, longest)))

    def space(self):
        return self.choice("", "", " ", " ", "  ", "\t", " \t ")

    def value(self):
        words = [self.text(WORD, 12) for _ in range(self.choice(0, 1, 1, 1, 2, 3))]
        return self.choice(" ", " ", "  ", " # ", " ; ").join(words)

    def quoted(self, name):
        return self.choice(name, shlex.quote(name), f'"{name}"', name.replace(" ", "\\ "))

    def section(self):
        name = self.random.choice(NAMES)
        kind = self.random.random()
        if kind < 0.4:
            header = name
        elif kind < 0.85:
            header = "profile" + self.choice(" ", " ", " ", "  ", "\t") + self.quoted(name)
        elif kind < 0.95:
            header = self.choice("sso-session ", "services ", " profile ", "Profile ") + name
        else:
            header = self.choice("profile", "profile x y", 'profile "x', "[x", " default ")
        close = "]" if self.chance(0.99) else ""
        return f"[{header}{close}" + self.choice("", "", "", "", " ", " # c", " ; c", "x = 1")

    def key_line(self):
        key = self.random.choice(KEYS)
        if self.chance(0.2):
            key = self.text("kKrsaw_ 1", 4).strip() or "k"
        if self.chance(0.1):
            key = key.upper()
        if self.chance(0.01):
            key = ""
        delimiter = self.choice("=", "=", "=", ":") if self.chance(0.99) else ""
        return key + self.space() + delimiter + self.space() + self.value()

    def block(self, indent):
        deeper = indent + self.choice(" ", "  ", "\t")
        for _ in range(self.choice(1, 1, 2, 3)):
            line = self.choice("a", "b", "c d") + self.choice(" = ", "=") + self.value()
            yield deeper + (line if self.chance(0.95) else self.choice("anything", "[x]", "# c"))
            if self.chance(0.1):
                yield self.choice("", "  ", "# c", "    ; c")

    def lines(self):
        if self.chance(0.02):
            yield self.key_line()
        for _ in range(self.random.randint(0, 4)):
            indent = self.choice("", "", "", "", "", "", " ", "\t")
            yield indent + self.section()
            for _ in range(self.random.randint(0, 4)):
                kind = self.random.random()
                if kind < 0.6:
                    yield indent + self.key_line()
                elif kind < 0.7:
                    yield indent + self.choice("s3", "k", "region") + " =" + self.space()
                    yield from self.block(indent)
                elif kind < 0.78:
                    yield from self.block(indent)
                elif kind < 0.82:
                    yield self.choice(" ", "  ") + self.key_line()
                else:
                    yield self.choice("", " ", "# c", "; c = d", "  # c", "#[x]")

    def file(self):
        text = self.any_file()
        while "[DEFAULT]" in text and any(
            self.is_broken_block(value) for value in self.common_values(text)
        ):
            text = self.any_file()
        return text

    @staticmethod
    def common_values(text):
        parser = configparser.RawConfigParser()
        try:
            parser.read_file(io.StringIO(text, newline=None))
        except configparser.Error:
            return []
        return parser.defaults().values()

    @staticmethod
    def is_broken_block(value):
        lines = [line for line in value.split("\n") if line.strip()]
        return value.startswith("\n") and any("=" not in line for line in lines)

    def any_file(self):
        ends = self.choice(["\n"], ["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"])
        text = "".join(line + self.space() + self.random.choice(ends) for line in self.lines())
        text = text.rstrip("\r\n") if self.chance(0.3) else text
        return text + "\0" if self.chance(0.01) else text

    def command(self):
        return self.text("ab'\"\\ \t\n$#~é" + "abcdef /-" * 3, self.choice(5, 20, 60))


def fields(*values):
    encoded = [value if isinstance(value, bytes) else value.encode() for value in values]
    return b"".join(b"%d\n%s" % (len(value), value) for value in encoded)


def read_answers(output):
    position = 0

    def field():
        nonlocal position
        end = output.index(b"\n", position)
        length = int(output[position:end])
        position = end + 1 + length
        return output[end + 1 : position].decode()

    while position < len(output):
        yield [field() for _ in range(int(field()))]


def profiles_of_botocore(kind, text, path):
    """Profiles with their keys, None for a file that is refused."""
    with open(path, "wb") as file:
        file.write(text.encode())
    try:
        parsed = raw_config_parse(path)
    except ConfigParseError:
        return None
    return build_profile_map(parsed)["profiles"] if kind == "config" else parsed


def expected_of_file(kind, text, queries, path):
    profiles = profiles_of_botocore(kind, text, path)
    if profiles is None:
        return None
    answer = ["1"]
    for profile, key in queries:
        if profile not in profiles:
            answer.append("-")
            continue
        value = profiles[profile].get(key)
        answer.append("=" + value if isinstance(value, str) else ".")
    return answer


def expected_of_command(text):
    try:
        words = compat_shell_split(text)
    except ValueError:
        return ["0"]
    return ["1", *words] if words else ["0"]


def main():
    driver = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    generator = Generator(SEED)
    requests = []
    cases = []
    statistics = {"well-formed": 0, "malformed": 0, "value": 0, "words": 0}

    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "file")
        queries = [(name, key) for name in NAMES for key in KEYS]
        for i in range(count):
            kind = "config" if i % 2 == 0 else "credentials"
            text = generator.file()
            expected = expected_of_file(kind, text, queries, path)
            flat = [part for query in queries for part in query]
            requests.append(fields(kind, text, str(len(queries)), *flat))
            cases.append((kind, text, expected))
            statistics["malformed" if expected is None else "well-formed"] += 1
            statistics["value"] += sum(part[:1] == "=" for part in expected or [])
    for _ in range(count):
        text = generator.command()
        requests.append(fields("command", text))
        cases.append(("command", text, expected_of_command(text)))
        statistics["words"] += cases[-1][2][0] == "1"

    run = subprocess.run([driver], input=b"".join(requests), stdout=subprocess.PIPE, check=False)
    answers = list(read_answers(run.stdout))
    number = 0
    failures = 0
    for first in range(0, len(cases), BATCH):
        number += 1
        wrong = []
        for i, (kind, text, expected) in enumerate(cases[first : first + BATCH], first):
            got = answers[i] if i < len(answers) else ["(none)"]
            if (got[0] != "0") if expected is None else (got != expected):
                wrong.append(f"# {kind}: {text!r}\n#      got: {got}\n# expected: {expected}")
        failures += bool(wrong)
        what = "commands" if cases[first][0] == "command" else "files"
        print(f"{'not ok' if wrong else 'ok'} {number} - {what} from number {first + 1}")
        if wrong:
            print(wrong[0])

    complete = run.returncode == 0 and len(answers) == len(cases)
    worth_it = all(amount > count / 20 for amount in statistics.values())
    print(f"# {statistics}")
    print(f"{'ok' if complete else 'not ok'} {number + 1} - the driver answered all of them")
    print(f"{'ok' if worth_it else 'not ok'} {number + 2} - enough of them were of each sort")
    print(f"1..{number + 2}")
    sys.exit(0 if failures == 0 and complete and worth_it else 1)


if __name__ == "__main__":
    main()
