#!/usr/bin/env python3
"""A TCP proxy that writes down what clients send, byte for byte.

    recorder.py PORT READY_FILE RECORD

Forwards connections to PORT on the loopback, one after the other.  READY_FILE
gets the port that it listens on; RECORD what came from the clients.
"""
import os
import selectors
import socket
import sys


def forward(client, server, record):
    """Until either side closes."""
    selector = selectors.DefaultSelector()
    selector.register(client, selectors.EVENT_READ, server)
    selector.register(server, selectors.EVENT_READ, client)
    while True:
        for key, _ in selector.select():
            try:
                data = key.fileobj.recv(65536)
                if key.fileobj is client:
                    record.write(data)
                key.data.sendall(data)
            except OSError:
                return
            if not data:
                return


def main(port, ready_file, record_file):
    listener = socket.create_server(("127.0.0.1", 0))
    with open(record_file, "wb", buffering=0) as record:
        with open(ready_file + ".new", "w") as ready:
            ready.write(str(listener.getsockname()[1]))
        os.rename(ready_file + ".new", ready_file)
        while True:
            client = listener.accept()[0]
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                forward(client, server, record)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
