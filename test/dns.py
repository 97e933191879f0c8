#!/usr/bin/env python3
"""A name server for tests that answers what it is told, lies included.

Each line of the zone file is a name and what its queries get:

    good.example.test    A 93.184.216.34
    both.example.test    A 93.184.216.34; AAAA ::1
    rebind.example.test  A 93.184.216.34 | A 127.0.0.1    (first | from then on)
    dead.example.test    silent

A name that begins with "*." stands for all that end so.  Other names do not
exist.  The file is read anew at each query.
"""
import argparse
import collections
import os
import socket
import struct
import sys

TYPES = {"A": (1, socket.AF_INET), "AAAA": (28, socket.AF_INET6)}
NAME_ERROR = 3
turns = collections.Counter()


def read_name(query):
    """The name in a query, and where it ends."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    return ".".join(labels).lower(), at + 1


def look_up(path, name):
    """What a zone file says of a name, or None."""
    with open(path, encoding="ascii") as file:
        zone = dict(line.split(None, 1) for line in file if line.strip())
    return zone.get(name) or zone.get("*." + name.partition(".")[2])


def record(kind, text):
    number, family = TYPES[kind]
    data = socket.inet_pton(family, text)
    return struct.pack("!HHHIH", 0xc00c, number, 1, 0, len(data)) + data


def answer(path, query):
    """The reply to a query; None: silence."""
    name, end = read_name(query)
    kind, = struct.unpack("!H", query[end:end + 2])
    says = look_up(path, name)
    records = []
    if says is not None:
        if says.strip() == "silent":
            return None
        sets = says.split("|")
        chosen = sets[min(turns[name, kind], len(sets) - 1)]
        turns[name, kind] += 1
        records = [record(*item.split()) for item in chosen.split(";")
                   if item.strip() and TYPES[item.split()[0]][0] == kind]
    code = 0 if says is not None else NAME_ERROR
    return query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records),
                                   0, 0) + query[12:end + 4] + b"".join(records)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zone")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=53)
    parser.add_argument("--ready-file", help="is made once it listens")
    options = parser.parse_args()
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    server.bind((options.address, options.port))
    if options.ready_file:
        with open(options.ready_file + ".new", "w", encoding="ascii") as file:
            print(options.port, file=file)
        os.replace(options.ready_file + ".new", options.ready_file)
    while True:
        query, client = server.recvfrom(4096)
        try:
            reply = answer(options.zone, query)
        except (ValueError, KeyError, IndexError, struct.error) as error:
            print(f"query from {client}: {error!r}", file=sys.stderr)
            continue
        if reply is not None:
            server.sendto(reply, client)


if __name__ == "__main__":
    main()
