"""A primary and a standby that its commits wait for, and who kills the primary.

After each failover the standby is the server, and gets a standby of its own.
"""
import pathlib
import random
import shutil
import threading

from server import Server, children_of, run, send_signal, title_of, wait_for

FIRST_PORT = 5432


class Pair(Server):
    def __init__(self, home, disk=None):
        super().__init__(home, disk)
        self.standby, self.number = None, 0

    def start(self):
        super().start()
        self.add_standby()

    def stop(self, mode):
        super().stop(mode)
        run("pg_ctl", "--pgdata", self.standby, "--mode", mode, "--silent",
            "--wait", "stop", check=False)

    def remove(self):
        super().remove()
        shutil.rmtree(self.standby, ignore_errors=True)

    def add_standby(self):
        """Until every commit waits for it."""
        self.number += 1
        name = f"standby{self.number}"
        self.standby = pathlib.Path(self.disk or self.home) / name
        run("pg_basebackup", "--pgdata", self.standby, "--dbname",
            self.parameters.replace(" dbname=postgres", ""), "--no-sync",
            "--checkpoint=fast", "--write-recovery-conf", "--create-slot",
            "--slot", name)
        self.set(self.standby, f"port = {FIRST_PORT + self.number}")
        self.set(self.standby, "synchronous_standby_names = ''")
        run("pg_ctl", "--pgdata", self.standby, "--silent", "--wait",
            "--log", self.home / f"{name}.log", "start")
        self.set(self.data, "synchronous_standby_names = '*'")
        self.pg_ctl("reload")
        wait_for("a synchronous standby", lambda: self.ask(
            "select count(*) from pg_stat_replication"
            " where sync_state = 'sync' and flush_lsn is not null") == [["1"]])

    @staticmethod
    def set(data, line):
        with open(data / "postgresql.conf", "a", encoding="ascii") as file:
            file.write(line + "\n")

    def fail_over(self):
        old, postmaster = self.data, self.postmaster()
        processes = [postmaster, *children_of(postmaster)]
        send_signal(postmaster, "KILL")
        wait_for("the end of the primary", lambda: not any(
            title_of(pid) for pid in processes))
        self.data, self.standby = self.standby, None
        self.pg_ctl("promote")
        self.parameters = (f"host={self.home} port={FIRST_PORT + self.number}"
                           " user=postgres dbname=postgres")
        shutil.rmtree(old)


class Failover(threading.Thread):
    """In the place of the nemesis: one primary dies after the other."""

    def __init__(self, server, journal, seed):
        super().__init__(daemon=True)
        self.server, self.journal = server, journal
        self.random = random.Random(f"failover {seed}")
        self.is_over = threading.Event()
        self.trouble = None

    def run(self):
        try:
            while not self.is_over.wait(self.random.uniform(1, 3)):
                self.journal.write("fault", "failover")
                self.server.fail_over()
                self.journal.write("undone", "failover")
                self.server.add_standby()
        except Exception as error:  # told by whoever joins us
            self.trouble = error
            raise
