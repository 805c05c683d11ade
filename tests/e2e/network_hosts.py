"""Hosts on one machine, each in a network namespace with one network card, which is a pair of virtual Ethernet devices
whose other end is a port of a bridge. A card can be shaped to a bandwidth (tc tbf, both directions) and unplugged.

Everything is in namespaces of the process that called enter(), and goes with it: no device, mount or process is left.
Linux, iproute2 and util-linux are needed, and root or user namespaces that are permitted.
"""

import os
import pathlib
import shutil
import subprocess
import sys

INSIDE = "PANGU_IN_NAMESPACES"
AS_ROOT = [] if os.geteuid() == 0 or INSIDE in os.environ else ["--map-root-user"]
UNSHARE = ["unshare", *AS_ROOT, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
TRY = ["sh", "-c", "mount -t tmpfs none /run && mkdir /run/netns && ip netns add try && ip link add try0 type bridge && "
       "ip link add try1 type veth peer name try2 netns try && "
       "tc qdisc add dev try1 root tbf rate 1mbit burst 32k latency 50ms"]
CARD = "eth0"
LATENCY_MS = 50  # that a shaped card keeps packets for at most
LEAST_BURST_BYTES, BURST_S = 32_000, 0.01


def why_not():
    """What this machine lacks, or ""."""
    for tool in ("unshare", "nsenter", "ip", "tc"):
        if not shutil.which(tool):
            return f"there is no {tool}"
    tried = subprocess.run([*UNSHARE, *TRY], capture_output=True, text=True, check=False)
    return f"no network namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def enter():
    """Starts this script again in namespaces of its own, in the place of this process; inside it does nothing. Call it
    only where why_not() has nothing to say."""
    if INSIDE in os.environ:
        return
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*UNSHARE, sys.executable, *sys.orig_argv[1:]])


def is_inside():
    return INSIDE in os.environ


def call(*words):
    subprocess.run([str(word) for word in words], check=True)


def device_bytes(table, device):
    """table: /proc/net/dev, or that of a process, /proc/PID/net/dev, which has the devices of its namespace."""
    for line in pathlib.Path(table).read_text(encoding="utf-8").splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() == device:
            received, sent = (int(numbers.split()[column]) for column in (0, 8))
            return {"received": received, "sent": sent}
    raise ValueError(f"{table}: expected a device {device}")


class Network:
    """count hosts host1, host2, ... at 10.77.0.1, ...; this process is at 10.77.0.254, under its own name."""

    def __init__(self, count, folder):
        """folder: where the names of the hosts are written."""
        self.names = [f"host{i + 1}" for i in range(count)]
        self.addresses = [f"10.77.0.{i + 1}" for i in range(count)]
        self.own_address = "10.77.0.254"
        self.shaped = False
        call("mount", "-t", "tmpfs", "none", "/run")
        pathlib.Path("/run/netns").mkdir()
        hosts = pathlib.Path(folder) / "hosts"
        lines = [("127.0.0.1", "localhost"), (self.own_address, os.uname().nodename), *zip(self.addresses, self.names)]
        hosts.write_text("".join(f"{address} {name}\n" for address, name in lines))
        call("mount", "--bind", hosts, "/etc/hosts")
        call("ip", "link", "set", "lo", "up")
        call("ip", "link", "add", "bridge", "type", "bridge")
        call("ip", "addr", "add", f"{self.own_address}/24", "dev", "bridge")
        call("ip", "link", "set", "bridge", "up")
        for name, address in zip(self.names, self.addresses):
            call("ip", "netns", "add", name)
            call("ip", "link", "add", name, "type", "veth", "peer", "name", CARD, "netns", name)
            call("ip", "link", "set", name, "master", "bridge", "up")
            for device in ("lo", CARD):
                call("ip", "-n", name, "link", "set", device, "up")
            call("ip", "-n", name, "addr", "add", f"{address}/24", "dev", CARD)

    def shape(self, mbit):
        """Of every card, each direction for itself."""
        burst = max(LEAST_BURST_BYTES, int(mbit * 1e6 / 8 * BURST_S))
        limits = ["tbf", "rate", f"{mbit}mbit", "burst", burst, "latency", f"{LATENCY_MS}ms"]
        for name in self.names:
            call("tc", "-n", name, "qdisc", "replace", "dev", CARD, "root", *limits)
            call("tc", "qdisc", "replace", "dev", name, "root", *limits)
        self.shaped = True

    def unshape(self):
        for name in self.names if self.shaped else ():
            call("tc", "-n", name, "qdisc", "del", "dev", CARD, "root")
            call("tc", "qdisc", "del", "dev", name, "root")
        self.shaped = False

    def unplug(self, number):
        call("ip", "link", "set", self.names[number], "down")

    def plug(self, number):
        call("ip", "link", "set", self.names[number], "up")

    def sent_bytes(self, number):
        """By a host's card so far, with all headers."""
        return device_bytes("/proc/net/dev", self.names[number])["received"]

    def on(self, number, command):
        """The command as a process of a host; its identifier is that of the process that is started."""
        return ["nsenter", f"--net=/run/netns/{self.names[number]}", *map(str, command)]


def rank_environment(network, rank, port=29500):
    """Of the process of host number `rank`, where each host has one."""
    return {"RANK": str(rank), "WORLD_SIZE": str(len(network.names)), "MASTER_ADDR": network.addresses[0],
            "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": CARD}
