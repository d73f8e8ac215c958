#!/bin/sh
# Secrets come as files that the orchestrator owns; the program takes its own only from a file that nobody else can read.
set -eu
umask 077
given=${FOLKMOOT_TOKEN_SECRET_FILE:-/run/secrets/token_secret}
unset FOLKMOOT_TOKEN_SECRET_FILE
if [ -r "$given" ]; then
  cp "$given" "$FOLKMOOT_DATA_DIR/secret.key"
  chmod 600 "$FOLKMOOT_DATA_DIR/secret.key"
fi
exec folkmoot "$@"
