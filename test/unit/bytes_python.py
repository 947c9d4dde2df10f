#!/usr/bin/env python3
"""Holds inflating, deflating and checksums against Python's gzip, zlib and hashlib: random bytes, the same ones each time.

Usage: bytes_python.py DRIVER [COUNT]

DRIVER is the built bytes_driver.c. Results come in TAP.
"""

import base64
import gzip
import hashlib
import io
import random
import subprocess
import sys
import zlib

SEED = 1952


def crc(polynomial, bits, data):
    """A reflected CRC with all ones before and after, by one table."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (polynomial if byte & 1 else 0)
        table.append(byte)
    ones = (1 << bits) - 1
    value = ones
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return (value ^ ones).to_bytes(bits // 8, "big")


CHECKSUMS = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: crc(0x82F63B78, 32, data),
    "CRC64NVME": lambda data: crc(0x9A6C9329AC4BC9B5, 64, data),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}


class Generator:
    """Random cases: what to do, with which bytes, and a function that says whether an answer is right."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def data(self):
        """Some 100,000 bytes at most: random ones, csv's, or one over and over."""
        length = self.random.choice([0, 1, self.random.randrange(200), self.random.randrange(100_000)])
        alphabet = self.random.choice([bytes(range(256)), b"0123456789,\n", b"\0"])
        return bytes(self.random.choices(alphabet, k=length))

    def piece(self):
        return self.random.choice([1, 3, 100, 1 << 30])

    def member(self, data):
        """One member of gzip, by one of Python's ways to make it."""
        level = self.random.randrange(10)
        way = self.random.randrange(3)
        if way == 0:
            return gzip.compress(data, level)
        if way == 1:
            made = io.BytesIO()
            with gzip.GzipFile("name.csv", "wb", level, made, self.random.randrange(1 << 32)) as file:
                file.write(data)
            return made.getvalue()
        window = self.random.randrange(9, 16)
        strategy = self.random.choice([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY])
        deflate = zlib.compressobj(level, zlib.DEFLATED, window + 16, self.random.randrange(1, 10), strategy)
        half = len(data) // 2
        return (
            deflate.compress(data[:half])
            + deflate.flush(self.random.choice([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH]))
            + deflate.compress(data[half:])
            + deflate.flush()
        )

    def members(self):
        """One to three members of gzip, and what is in them."""
        parts = [self.data() for _ in range(self.random.randrange(1, 4))]
        return b"".join(map(self.member, parts)), b"".join(parts)

    def deflate(self):
        data = self.data()
        return "deflate", data, lambda ok, got: ok and gzip.decompress(got) == data

    def checksum(self):
        data = self.data()
        name = self.random.choice(list(CHECKSUMS))
        return name, data, lambda ok, got: ok and got == base64.b64encode(CHECKSUMS[name](data))

    def inflate(self):
        members, expected = self.members()
        return "inflate", members, lambda ok, got: ok and got == expected

    def inflate_damaged(self):
        """With one byte of it wrong, or its end cut off, somewhere behind the bytes that say it is gzip."""
        members, _ = self.members()
        place = self.random.randrange(2, len(members))
        if self.random.random() < 0.3:
            members = members[:place]
        else:
            members = members[:place] + bytes([self.random.randrange(256)]) + members[place + 1 :]
        try:
            expected = gzip.decompress(members)
        except (OSError, EOFError, zlib.error):
            expected = None
        # Flags that are reserved are an error by RFC 1952 (2.3.1.2), but not to Python.
        return "inflate", members, lambda ok, got: (
            got == expected if ok else expected is None or b"unknown header flags" in got
        )


def main():
    driver = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    generator = Generator(SEED)
    kinds = [generator.deflate, generator.checksum, generator.inflate, generator.inflate_damaged]
    cases = [kind() for _ in range(count) for kind in kinds]
    lines = []
    for what, data, _ in cases:
        lines += [b"%s %d %d\n" % (what.encode(), generator.piece(), len(data)), data]
    output = io.BytesIO(subprocess.run([driver], input=b"".join(lines), stdout=subprocess.PIPE, check=True).stdout)

    wrong = {kind: [] for kind in kinds}
    for number, (what, data, is_right) in enumerate(cases):
        status, length = output.readline().split()
        got = output.read(int(length))
        if not is_right(status == b"ok", got):
            wrong[kinds[number % len(kinds)]].append((what, len(data), status, got[:100]))
    print(f"1..{len(kinds)}")
    for number, kind in enumerate(kinds, 1):
        print(f"{'not ok' if wrong[kind] else 'ok'} {number} - {count} times {kind.__name__} as Python has it")
        for case in wrong[kind][:5]:
            print(f"# {case}")
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
