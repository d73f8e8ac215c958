#!/bin/sh
# Secrets come as files that the orchestrator owns, and that others may read: Kubernetes gives them to a group. The program
# takes its own only from files that nobody else can read, so it is given copies.
set -eu
umask 077

# keep FILE NAME: the copy NAME in the data directory, in the place of what an earlier start left there.
keep() {
  install -m 600 "$1" "$FOLKMOOT_DATA_DIR/$2"
}

token=${FOLKMOOT_TOKEN_SECRET_FILE:-/run/secrets/token_secret}
if [ -r "$token" ]; then
  keep "$token" secret.key
elif [ -n "${FOLKMOOT_TOKEN_SECRET_FILE:-}" ]; then
  # Without it each gateway would make a secret of its own, and take nobody's tokens but those.
  echo "FOLKMOOT_TOKEN_SECRET_FILE: $token cannot be read" >&2
  exit 2
fi
unset FOLKMOOT_TOKEN_SECRET_FILE

# What cannot be read is left to the program, which says so by its setting. What nobody else can read is used where it is:
# there a change is taken up without a restart.
nats=${FOLKMOOT_NATS_CREDENTIALS_FILE:-}
if [ -f "$nats" ] && [ -r "$nats" ]; then
  case $(stat -L -c %a "$nats") in
    *00) ;;
    *)
      keep "$nats" nats.credentials
      export FOLKMOOT_NATS_CREDENTIALS_FILE="$FOLKMOOT_DATA_DIR/nats.credentials"
      ;;
  esac
fi
exec folkmoot "$@"
