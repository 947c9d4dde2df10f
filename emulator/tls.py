"""Certificates: the user's own, or throw-away ones made with the openssl command."""

from __future__ import annotations

import ipaddress
import os
import ssl
import subprocess
from typing import Tuple

VALID_DAYS = 30

_NAMES = ("localhost", "*.localhost", "s3.localhost", "*.s3.localhost")
_ADDRESSES = ("127.0.0.1", "::1")

_CONFIGURATION = """
[req]
prompt = no
distinguished_name = name
[name]
CN = {common_name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {alternative_names}
"""


def context(certificate: str, key: str) -> ssl.SSLContext:
    """A server's context. Raises OSError (ssl.SSLError) when the files are not a certificate and its key."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    return made


def make_certificates(directory: str, host: str) -> Tuple[str, str, str]:
    """Makes a certificate authority and a server certificate for localhost and host.

    directory: an existing one. Returns the files of the authority's certificate, the server's certificate and its key.
    Raises OSError when there is no openssl command or it fails.
    """
    names = ["DNS:" + name for name in _NAMES] + ["IP:" + address for address in _ADDRESSES]
    try:
        ipaddress.ip_address(host)
        own_name = "IP:" + host
    except ValueError:
        own_name = "DNS:" + host
    if own_name not in names:
        names.append(own_name)

    def path(name: str) -> str:
        return os.path.join(directory, name)

    def configuration(name: str, common_name: str) -> str:
        with open(path(name), "w") as file:
            file.write(_CONFIGURATION.format(common_name=common_name, alternative_names=", ".join(names)))
        return path(name)

    authority = configuration("authority.cnf", "athena emulator authority")
    server = configuration("server.cnf", "athena emulator")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256")
    _openssl("req", "-x509", *new_key, "-config", authority, "-extensions", "authority", "-days", str(VALID_DAYS),
             "-keyout", path("authority.key"), "-out", path("authority.pem"))
    _openssl("req", *new_key, "-config", server, "-keyout", path("server.key"), "-out", path("server.csr"))
    _openssl("x509", "-req", "-sha256", "-in", path("server.csr"), "-CA", path("authority.pem"), "-CAkey",
             path("authority.key"), "-set_serial", "1", "-days", str(VALID_DAYS), "-extfile", server, "-extensions",
             "server", "-out", path("server.pem"))
    return path("authority.pem"), path("server.pem"), path("server.key")


def _openssl(*arguments: str) -> None:
    done = subprocess.run(("openssl",) + arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise OSError("openssl %s failed: %s" % (arguments[0], done.stdout.decode("utf-8", "replace").strip()))
