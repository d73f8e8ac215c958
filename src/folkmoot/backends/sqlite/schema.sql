-- Version 1. Everything but meta, entries, outcomes and pointers can be rebuilt by reading entries from 1.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- A group's head, and what entries have made of it. `no` stands for the id in every other table.
CREATE TABLE groups (
  no          INTEGER PRIMARY KEY,
  id          TEXT NOT NULL UNIQUE,
  epoch       INTEGER NOT NULL,
  writes      INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  hash        BLOB NOT NULL,
  messages    INTEGER NOT NULL,
  name        TEXT NOT NULL,
  history_all INTEGER NOT NULL,
  open        INTEGER NOT NULL,
  members     INTEGER NOT NULL,
  owners      INTEGER NOT NULL
) STRICT;

-- The log. body and salt are null once erased.
CREATE TABLE entries (
  group_no INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  epoch    INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  sender   TEXT NOT NULL,
  device   TEXT NOT NULL,
  send_id  TEXT NOT NULL,
  time_ms  INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  body     BLOB,
  salt     BLOB,
  digest   BLOB NOT NULL,
  hash     BLOB NOT NULL,
  PRIMARY KEY (group_no, seq)
) STRICT, WITHOUT ROWID;

-- What became of each send, for as long as the log: its seq, or the code of its refusal.
CREATE TABLE outcomes (
  group_no INTEGER NOT NULL,
  sender   TEXT NOT NULL,
  send_id  TEXT NOT NULL,
  seq      INTEGER,
  code     TEXT,
  PRIMARY KEY (group_no, sender, send_id)
) STRICT, WITHOUT ROWID;

-- Every stay of everyone: `ended` is null while it lasts.
CREATE TABLE memberships (
  group_no INTEGER NOT NULL,
  user     TEXT NOT NULL,
  joined   INTEGER NOT NULL,
  ended    INTEGER,
  role     TEXT NOT NULL,
  PRIMARY KEY (group_no, user, joined)
) STRICT, WITHOUT ROWID;

CREATE TABLE groups_of_user (
  user     TEXT NOT NULL,
  group_id TEXT NOT NULL,
  PRIMARY KEY (user, group_id)
) STRICT, WITHOUT ROWID;

-- Read pointers: the one truth outside the log.
CREATE TABLE pointers (
  group_no INTEGER NOT NULL,
  user     TEXT NOT NULL,
  epoch    INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  PRIMARY KEY (group_no, user)
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('epoch', 1);
