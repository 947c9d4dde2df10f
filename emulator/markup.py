"""XML as AWS's services write and read it: elements by name, no attributes but the namespace."""

from __future__ import annotations

import re
from typing import Any, List, Tuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

# What XML 1.0 cannot hold is sent as a character reference all the same, as S3 does; readers are right to refuse it.
_CONTROL_CHARACTERS = re.compile("[\x00-\x1f]")


def element(name: str, value: Any, namespace: str = "") -> str:
    """One element.

    value: a list of (name, value) pairs for an element with elements in it; true and false, numbers and text are written
    as text. A pair whose value is None is left out.
    """
    if isinstance(value, list):
        content = "".join(element(*pair) for pair in value if pair[1] is not None)
    elif isinstance(value, bool):
        content = "true" if value else "false"
    else:
        content = _CONTROL_CHARACTERS.sub(lambda found: "&#x%x;" % ord(found.group()), escape(str(value)))
    return "<%s%s>%s</%s>" % (name, ' xmlns="%s"' % namespace if namespace else "", content, name)


def document(name: str, value: List[Tuple[str, Any]], namespace: str = "") -> bytes:
    """A whole document."""
    return (DECLARATION + element(name, value, namespace)).encode("utf-8", "backslashreplace")


def parsed(body: bytes, name: str) -> ElementTree.Element:
    """The root of a document, all names without their namespaces. Raises ValueError when it is not a document of that name."""
    if b"<!DOCTYPE" in body:
        raise ValueError("document types are not read")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    for item in root.iter():
        item.tag = item.tag.rpartition("}")[2]
    if root.tag != name:
        raise ValueError("not a %s" % name)
    return root
