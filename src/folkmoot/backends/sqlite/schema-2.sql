-- Version 2: who users are to one another, whether they may come in, and API keys. None of it can be rebuilt.

CREATE TABLE profiles (
  user       TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  picture    TEXT NOT NULL,
  data       BLOB NOT NULL,
  changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A user without a row has the standing of one of whom nothing is known. devices_out: JSON, times by device.
CREATE TABLE standings (
  user              TEXT PRIMARY KEY,
  active            INTEGER NOT NULL,
  active_changed_ms INTEGER NOT NULL,
  out_before_ms     INTEGER NOT NULL,
  devices_out       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Of a key's secret only the hash is here. scopes: words with commas between them.
CREATE TABLE api_keys (
  id             TEXT PRIMARY KEY,
  name           TEXT NOT NULL,
  secret_hash    BLOB NOT NULL,
  scopes         TEXT NOT NULL,
  requests_per_s REAL NOT NULL,
  created_ms     INTEGER NOT NULL,
  revoked_ms     INTEGER
) STRICT, WITHOUT ROWID;
