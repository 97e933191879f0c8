"""The server and the receiver that are tortured, and their processes."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pq

TOOLS = pathlib.Path(__file__).resolve().parent.parent
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{home}'
shared_preload_libraries = 'webhook'
webhook.ca_file = '{home}/certs/ca.crt'
webhook.allow_addresses = '127.0.0.0/8'
webhook.timeout = '2s'
fsync = off
max_wal_size = '64MB'
min_wal_size = '32MB'
max_prepared_transactions = 20
max_connections = 40
max_worker_processes = 16
restart_after_crash = on
log_min_messages = warning
"""


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


class Server:
    """A cluster; data may stand on a small disk of its own."""

    def __init__(self, home, disk=None):
        self.home, self.disk = home, disk
        self.data = pathlib.Path(disk or home) / "data"
        self.parameters = f"host={home} user=postgres dbname=postgres"
        run("initdb", "--pgdata", self.data, "--username=postgres",
            "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8",
            "--wal-segsize=1")
        with open(self.data / "postgresql.conf", "a",
                  encoding="ascii") as file:
            file.write(SETTINGS.format(home=home))

    def pg_ctl(self, *arguments, check=True):
        return run("pg_ctl", "--pgdata", self.data, "--silent", "--wait",
                   *arguments, check=check)

    def start(self):
        """Until it is up: after a kill, the old processes must be gone."""
        wait_for("the start of the server", lambda: self.pg_ctl(
            "--log", self.home / "server.log", "start", check=False), 120)

    def stop(self, mode):
        self.pg_ctl("--mode", mode, "stop", check=False)

    def remove(self):
        shutil.rmtree(self.data, ignore_errors=True)

    def postmaster(self):
        try:
            text = (self.data / "postmaster.pid").read_text()
            return int(text.split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def children(self, kind):
        """Pids of the postmaster's children whose title has the word."""
        return [pid for pid in children_of(self.postmaster())
                if kind in title_of(pid)]

    def connect(self):
        return pq.Connection(self.parameters)

    def session(self, seconds=60):
        """A connection, however long it takes."""
        def attempt():
            try:
                return self.connect()
            except pq.Lost:
                return None
        return wait_for("a connection", attempt, seconds)

    def ask(self, text):
        """Rows, whatever breaks meanwhile; for what may be asked twice."""
        def attempt():
            try:
                session = self.session()
            except TimeoutError:
                return None
            try:
                return [session.run(text)]
            except (pq.Lost, pq.Refused) as error:
                last.append(str(error))
                return None
            finally:
                session.close()
        last = []
        try:
            return wait_for(text, attempt)[0]
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {last[-1:]}") from None


class Receiver:
    """test/receiver.py on a port that it keeps across restarts."""

    def __init__(self, home):
        self.home, self.port, self.process = home, 0, None
        self.journal = home / "receiver.journal"
        self.secrets = home / "secrets"
        self.start()

    def start(self):
        ready = self.home / "receiver.port"
        ready.unlink(missing_ok=True)
        certs = self.home / "certs"
        with open(self.home / "receiver.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, TOOLS / "receiver.py",
                 "--cert", certs / "server.crt", "--key", certs / "server.key",
                 "--port", str(self.port), "--ready-file", ready,
                 "--journal", self.journal, "--secret-file", self.secrets],
                stderr=log)
        wait_for("the receiver", ready.exists)
        self.port = int(ready.read_text())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def url(self, path):
        return f"https://127.0.0.1:{self.port}{path}"


def run(program, *arguments, check=True):
    with open(os.devnull, "rb") as nothing:
        result = subprocess.run([program, *map(str, arguments)],
                                stdin=nothing, capture_output=True,
                                text=True, check=False)
    if check and result.returncode != 0:
        raise RuntimeError(f"{program}: {result.stdout}{result.stderr}")
    return result.returncode == 0


def children_of(parent):
    path = f"/proc/{parent}/task/{parent}/children"
    try:
        with open(path, encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def title_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def send_signal(pid, name):
    """True when there was somebody to receive it."""
    try:
        os.kill(pid, getattr(signal, "SIG" + name))
        return True
    except (OSError, TypeError):
        return False
