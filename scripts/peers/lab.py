"""A kept lab and programs in it."""

import subprocess


class Lab:
    """One lab of `tollgate lab up`. `down` ends every program in it."""

    def __init__(self, bin, name, *, pods="bridge", wire="native"):
        self.bin, self.name = bin, name
        subprocess.run([bin / "tollgate", "lab", "up", name, "--pods", pods, "--wire", wire], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Whoever closes first keeps the port for a minute. Once most are kept, whoever connects to the same server next searches
        # for a free one for milliseconds: each tool would pay for those before it.
        for role in ("client", "server"):
            self.run(role, 0, ["sh", "-c", "echo 64 >/proc/sys/net/ipv4/tcp_max_tw_buckets"])
        self.server = self.run("client", 0, ["getent", "hosts", "server"]).split()[0]

    def command(self, role, cpu, argv):
        return [self.bin / "tollgate", "lab", "exec", self.name, role, "--", "taskset", "-c", str(cpu), *map(str, argv)]

    def run(self, role, cpu, argv):
        """Runs a program to its end, within a minute, and returns what it printed."""
        done = subprocess.run(self.command(role, cpu, argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise ValueError((done.stderr or done.stdout).strip().splitlines()[-1:] or f"exit {done.returncode}")
        return done.stdout + done.stderr

    def start(self, role, cpu, argv):
        """Starts a server that lives as long as the lab."""
        subprocess.Popen(self.command(role, cpu, argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def down(self):
        subprocess.run([self.bin / "tollgate", "lab", "down", self.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
