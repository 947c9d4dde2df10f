"""The checksums of S3's uploads, and the coding in which SDKs send one after the content.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import operator
import zlib
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from .errors import AwsError

HEADER = "x-amz-checksum-"
COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"

# What S3 computes where an upload says nothing.
DEFAULT = "crc64nvme"

# Headers of the same beginning that hold no checksum.
_NO_ALGORITHMS = ("mode", "algorithm", "type")


# Blocks of up to 2**18 and at least 2**10 bytes are folded: what is larger leaves the processor's cache, what is smaller is
# not worth it. Folding ends with 2**6 rows.
_LARGEST_BLOCK, _SMALLEST_BLOCK, _LAST_ROWS = 18, 10, 6


@functools.lru_cache(maxsize=None)
def _crc_table(polynomial: int) -> List[int]:
    """What a byte makes of a register of zeros."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


@functools.lru_cache(maxsize=None)
def _moved(size: int, polynomial: int, power: int) -> Tuple[int, ...]:
    """What 2**power bytes of zeros make of a register with one bit set, for each bit."""
    if power == 0:
        table = _crc_table(polynomial)
        return tuple(bit >> 8 ^ table[bit & 255] for bit in (1 << index for index in range(8 * size)))
    half = _moved(size, polynomial, power - 1)
    return tuple(functools.reduce(operator.xor, (half[index] for index in range(8 * size) if bits >> index & 1))
                 for bits in half)


@functools.lru_cache(maxsize=None)
def _translations(size: int, polynomial: int, power: int) -> List[List[bytes]]:
    """The same for bytes: [j][i] translates byte j of a register to what it adds to byte i, 2**power bytes later."""
    moved = _moved(size, polynomial, power)
    translations = []
    for byte in range(size):
        values = [0]
        for bit in moved[8 * byte:8 * byte + 8]:
            values += [value ^ bit for value in values]
        together = b"".join(value.to_bytes(size, "little") for value in values)
        translations.append([together[index::size] for index in range(size)])
    return translations


class _Crc:
    """A cyclic redundancy check with all bits reflected and inverted, with hashlib's interface: some 100 megabytes a second.

    Byte by byte it would be a seventh of that. So a large block is folded: its first half, moved by the length of a half, is
    added to the second, which then has the checksum of the whole; and so on. Columns of bytes go through bytes.translate.
    """

    def __init__(self, size: int, polynomial: int):
        self._size = size
        self._polynomial = polynomial
        self._ones = (1 << 8 * size) - 1
        self._value = self._ones

    def update(self, data: bytes) -> None:
        position = 0
        for power in range(_LARGEST_BLOCK, _SMALLEST_BLOCK - 1, -1):
            while len(data) - position >= 1 << power:
                self._fold(data[position:position + (1 << power)], power)
                position += 1 << power
        self._add(data[position:])

    def digest(self) -> bytes:
        return (self._value ^ self._ones).to_bytes(self._size, "big")

    def _add(self, data: Iterable[int]) -> None:
        value, table = self._value, _crc_table(self._polynomial)
        for byte in data:
            value = value >> 8 ^ table[(value ^ byte) & 255]
        self._value = value

    def _fold(self, block: bytes, power: int) -> None:
        size = self._size
        # The register adds to the first bytes, and is empty then.
        block = (int.from_bytes(block[:size], "little") ^ self._value).to_bytes(size, "little") + block[size:]
        columns = [block[index::size] for index in range(size)]
        while len(columns[0]) > 1 << _LAST_ROWS:
            power -= 1
            half = len(columns[0]) // 2
            translations = _translations(size, self._polynomial, power)
            folded = []
            for index in range(size):
                total = int.from_bytes(columns[index][half:], "little")
                for column, translation in zip(columns, translations):
                    total ^= int.from_bytes(column[:half].translate(translation[index]), "little")
                folded.append(total.to_bytes(half, "little"))
            columns = folded
        self._value = 0
        self._add(byte for row in zip(*columns) for byte in row)


class _Crc32:
    """The CRC-32 of zlib, with hashlib's interface."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class Algorithm(NamedTuple):
    """make: a sum with hashlib's interface. types: those that a multipart upload may ask for, the default first."""

    make: Callable[[], Any]
    types: Tuple[str, ...]


# The types: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html, "Full object and
# composite checksum types".
ALGORITHMS: Dict[str, Algorithm] = {
    "crc32": Algorithm(_Crc32, (COMPOSITE, FULL_OBJECT)),
    "crc32c": Algorithm(lambda: _Crc(4, 0x82F63B78), (COMPOSITE, FULL_OBJECT)),
    "crc64nvme": Algorithm(lambda: _Crc(8, 0x9A6C9329AC4BC9B5), (FULL_OBJECT,)),
    "sha1": Algorithm(hashlib.sha1, (COMPOSITE,)),
    "sha256": Algorithm(hashlib.sha256, (COMPOSITE,)),
}


def of_pieces(algorithm: str, pieces: Iterable[bytes]) -> str:
    """The checksum as headers have it: base64."""
    made = ALGORITHMS[algorithm].make()
    for piece in pieces:
        made.update(piece)
    return base64.b64encode(made.digest()).decode()


def composite(algorithm: str, checksums: List[str]) -> str:
    """The checksum of the parts' checksums, with their number."""
    return "%s-%d" % (of_pieces(algorithm, map(base64.b64decode, checksums)), len(checksums))


def stated(fields: Dict[str, str]) -> Optional[Tuple[str, str]]:
    """(algorithm, checksum) that the headers of an upload state, or None. Raises AwsError InvalidRequest."""
    found = [name[len(HEADER):] for name in fields if name.startswith(HEADER)]
    found = [name for name in found if name not in _NO_ALGORITHMS]
    if len(found) > 1:
        raise AwsError("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not "
                       "allowed.", 400)
    if not found:
        if "x-amz-sdk-checksum-algorithm" in fields:
            raise AwsError("InvalidRequest", "x-amz-sdk-checksum-algorithm specified, but no corresponding "
                           "x-amz-checksum-* or x-amz-trailer headers were found.", 400)
        return None
    if found[0] not in ALGORITHMS:
        raise AwsError("NotImplemented", "The emulator does not compute %s." % found[0].upper(), 501)
    return found[0], fields[HEADER + found[0]]


def verified(content: bytes, fields: Dict[str, str]) -> Dict[str, str]:
    """The checksum header of an upload, which is right, by its name; {} where none was sent.

    Content-MD5 is verified too. Raises AwsError: BadDigest when one does not match, InvalidDigest and InvalidRequest when
    it is none at all.
    """
    md5 = fields.get("content-md5")
    if md5 is not None:
        expected = hashlib.md5(content).digest()
        if len(_decoded(md5)) != len(expected):
            raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.", 400, {"Content-MD5": md5})
        if _decoded(md5) != expected:
            raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.", 400, {
                "ExpectedDigest": md5, "CalculatedDigest": base64.b64encode(expected).decode()})
    given = stated(fields)
    if given is None:
        return {}
    algorithm, checksum = given
    computed = of_pieces(algorithm, (content,))
    if len(_decoded(checksum)) != len(_decoded(computed)):
        raise AwsError("InvalidRequest", "Value for %s%s header is invalid." % (HEADER, algorithm), 400)
    if checksum != computed:
        raise mismatch(algorithm)
    return {HEADER + algorithm: checksum}


def mismatch(algorithm: str) -> AwsError:
    """The error for a checksum that is not that of the content."""
    return AwsError("BadDigest", "The %s you specified did not match the calculated checksum." % algorithm.upper(), 400)


def without_aws_chunks(body: bytes) -> Tuple[bytes, Dict[str, str]]:
    """Content and trailers of a body in the aws-chunked coding, which SDKs use to send a checksum after the content.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
    """
    content = bytearray()
    position = 0
    try:
        while True:
            end = body.index(b"\r\n", position)
            size = int(body[position:end].split(b";")[0], 16)
            position = end + 2
            if size == 0:
                break
            if body[position + size:position + size + 2] != b"\r\n":
                raise ValueError("a chunk is longer or shorter than it says")
            content += body[position:position + size]
            position += size + 2
        trailers = {}
        for line in body[position:].decode("ascii").split("\r\n"):
            if line:
                name, _, value = line.partition(":")
                trailers[name.strip().lower()] = value.strip()
    except ValueError:
        raise AwsError("IncompleteBody", "The request body is not in the aws-chunked coding that it announces.", 400) from None
    return bytes(content), trailers


def _decoded(text: str) -> bytes:
    """The bytes of base64, b'' for what is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
