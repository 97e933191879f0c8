"""As much of libpq as the torture needs, through ctypes: no package to install.

Connection.run returns rows of text, or raises Refused (the server said no,
and the transaction is over or will be) or Lost (nobody knows).
"""
import ctypes
import ctypes.util

_pq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
for _name, _result, _arguments in (
        ("PQconnectdb", ctypes.c_void_p, [ctypes.c_char_p]),
        ("PQstatus", ctypes.c_int, [ctypes.c_void_p]),
        ("PQfinish", None, [ctypes.c_void_p]),
        ("PQerrorMessage", ctypes.c_char_p, [ctypes.c_void_p]),
        ("PQbackendPID", ctypes.c_int, [ctypes.c_void_p]),
        ("PQexec", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
        ("PQresultStatus", ctypes.c_int, [ctypes.c_void_p]),
        ("PQresultErrorField", ctypes.c_char_p,
         [ctypes.c_void_p, ctypes.c_int]),
        ("PQntuples", ctypes.c_int, [ctypes.c_void_p]),
        ("PQnfields", ctypes.c_int, [ctypes.c_void_p]),
        ("PQgetisnull", ctypes.c_int,
         [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
        ("PQgetvalue", ctypes.c_char_p,
         [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
        ("PQclear", None, [ctypes.c_void_p])):
    _function = getattr(_pq, _name)
    _function.restype, _function.argtypes = _result, _arguments

# What the server says by the way, such as that it ends: we see that it does.
_ignore = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(
    lambda argument, message: None)
_pq.PQsetNoticeProcessor.argtypes = [ctypes.c_void_p, type(_ignore),
                                     ctypes.c_void_p]
GOOD = 1, 2  # PGRES_COMMAND_OK, PGRES_TUPLES_OK
SQLSTATE = ord("C")


class Lost(Exception):
    """The connection broke: what ran may have happened or not."""


class Refused(Exception):
    """An error of the server; the first argument is its SQLSTATE."""


class Connection:
    def __init__(self, parameters):
        self.raw = _pq.PQconnectdb(
            f"{parameters} connect_timeout=10".encode())
        _pq.PQsetNoticeProcessor(self.raw, _ignore, None)
        if _pq.PQstatus(self.raw) != 0:
            message = _pq.PQerrorMessage(self.raw).decode()
            self.close()
            raise Lost(message)
        self.pid = _pq.PQbackendPID(self.raw)

    def close(self):
        if self.raw:
            _pq.PQfinish(self.raw)
        self.raw = None

    def run(self, text):
        result = _pq.PQexec(self.raw, text.encode())
        try:
            if _pq.PQresultStatus(result) in GOOD:
                return rows_of(result)
            state = _pq.PQresultErrorField(result, SQLSTATE) or b""
            message = _pq.PQerrorMessage(self.raw).decode()
        finally:
            _pq.PQclear(result)
        # No state: libpq speaks.  57P0x: the server is going down; its answer
        # came before the end.
        if not state or state.startswith(b"57P0"):
            raise Lost(message)
        raise Refused(state.decode(), message)

    def value(self, text):
        return self.run(text)[0][0]


def rows_of(result):
    return [[None if _pq.PQgetisnull(result, row, column) else
             _pq.PQgetvalue(result, row, column).decode()
             for column in range(_pq.PQnfields(result))]
            for row in range(_pq.PQntuples(result))]
