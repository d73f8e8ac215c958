"""Starts ejabberd from Debian's package in a folder of its own: rooms over WebSockets, with the archive of messages on.

`run.py FOLDER`: standard output says port and version, standard input ends it. It becomes the server's own process.
"""

import glob
import os
import socket
import sys
from pathlib import Path

CONFIG = """\
hosts: [localhost]
loglevel: error
auth_method: [anonymous]
allow_multiple_connections: true
anonymous_protocol: sasl_anon
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_http
    backlog: 4096
    request_handlers: {{"/ws": ejabberd_http_ws}}
access_rules:
  anyone: {{allow: all}}
modules:
  mod_mam: {{default: always, db_type: mnesia}}
  mod_muc:
    access: anyone
    access_create: anyone
    max_users: 1000
    history_size: 0
    min_message_interval: 0
    min_presence_interval: 0
    default_room_options: {{mam: true, anonymous: false, presence_broadcast: []}}
"""

# Says where it listens once it does, and ends with its input.
ERLANG = """\
case application:ensure_all_started(ejabberd) of
  {{ok, _}} ->
    io:format("{{\\"port\\": {port}, \\"version\\": \\"ejabberd ~s, erlang ~s\\"}}~n",
              [ejabberd_option:version(), erlang:system_info(otp_release)]),
    io:get_line(""),
    halt(0);
  Failed -> io:format(standard_error, "~p~n", [Failed]), halt(1)
end.
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main() -> None:
    folder, port = Path(sys.argv[1]).resolve(), free_port()
    installed = sorted(path for path in glob.glob("/usr/lib/*/ejabberd-*/ebin"))
    if not installed:
        sys.exit("ejabberd is not installed here. On Debian: apt-get install ejabberd")
    (folder / "ejabberd.yml").write_text(CONFIG.format(port=port))
    os.environ |= {"EJABBERD_CONFIG_PATH": str(folder / "ejabberd.yml"), "EJABBERD_LOG_PATH": str(folder / "log")}
    # No node name, so that nothing listens for other nodes; no thread that spins while it waits for work.
    command = ["erl", "-noshell", "-pa", installed[-1], "-mnesia", "dir", f'"{folder / "mnesia"}"']
    command += ["+K", "true", "+P", "250000", "+Q", "65536", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
    os.execvp("erl", [*command, "-eval", ERLANG.format(port=port)])


if __name__ == "__main__":
    main()
