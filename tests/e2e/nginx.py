"""Debian's nginx for tests, which tools/install/packages.sh lists: its absence is a failure."""

import os
import pathlib
import shutil
import socket
import subprocess

from served import wait_for

TOOL = "/usr/sbin/nginx"
LISTENS_S = 20
CONFIG = """{user}
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{server}
}}
"""


class Nginx:
    """It keeps its files in `folder`; `server` is the text of its server blocks, which listen on `port` of 127.0.0.1."""

    def __init__(self, folder, port, server):
        assert shutil.which("nginx", path="/usr/sbin"), "there is no nginx. Hint: ./pangu-draw test installs it"
        self.folder, self.port = pathlib.Path(folder), port
        user = "user root;" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(CONFIG.format(user=user, folder=folder, server=server))
        self.start()

    def start(self):
        with (self.folder / "errors").open("w") as errors:
            self.process = subprocess.Popen([TOOL, "-p", self.folder, "-c", self.folder / "nginx.conf"], stderr=errors,
                                            stdout=subprocess.DEVNULL)
        wait_for(self.listens, LISTENS_S, "nginx to listen")

    def listens(self):
        assert self.process.poll() is None, (self.folder / "errors").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)

    def requests(self):
        """Lines of the log of what was asked."""
        return (self.folder / "access.log").read_text().splitlines()
