"""The rows of the bench by name, in the order of the page."""
from border import halves, malformed, slow, traversal
from faults import clock, disk, kills, lock
from load import latency, load
from memory import oom, switches
from shared import cut, database

ROWS = {"load": load, "latency": latency, "kills": kills, "oom": oom, "switches": switches, "disk": disk, "lock": lock, "clock": clock,
        "slow": slow, "halves": halves, "malformed": malformed, "traversal": traversal, "database": database, "cut": cut}
