-- Ids are blobs, times of the server's clock are nanoseconds since 1970 (`…_ns`), what people wrote is text.

CREATE TABLE setting (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    id            BLOB NOT NULL PRIMARY KEY,
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL UNIQUE,        -- the name in lower case
    password_hash TEXT,
    created_ns    INTEGER NOT NULL,
    disabled      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE device (
    id             BLOB NOT NULL PRIMARY KEY,
    account        BLOB NOT NULL,
    name           TEXT NOT NULL,
    platform       TEXT NOT NULL,
    client_version TEXT NOT NULL,
    token_hash     BLOB NOT NULL UNIQUE,
    created_ns     INTEGER NOT NULL,
    last_seen_ns   INTEGER NOT NULL,
    revoked        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The name of a device that was signed out is free again.
CREATE UNIQUE INDEX device_by_name ON device (account, name) WHERE revoked = 0;
CREATE INDEX device_of_account ON device (account);

-- A drive has a small number here, because every row of its tree begins with it.
CREATE TABLE drive (
    number     INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    owner      BLOB NOT NULL,
    name       TEXT NOT NULL,
    generation BLOB NOT NULL,
    head       INTEGER NOT NULL
) STRICT;

CREATE INDEX drive_of_owner ON drive (owner);

-- The present state of each node but the roots, which no entry ever changes.
CREATE TABLE node (
    drive          INTEGER NOT NULL,
    id             BLOB NOT NULL,
    parent         BLOB NOT NULL,
    name           BLOB NOT NULL,
    standing       INTEGER NOT NULL,           -- 0 live, 1 trashed itself, 2 live and waiting for its name (within a transaction only)
    content        BLOB NOT NULL,              -- CBOR of `Content`
    executable     INTEGER NOT NULL,
    place_seq      INTEGER NOT NULL,
    place_commit   BLOB NOT NULL,
    content_seq    INTEGER NOT NULL,
    content_commit BLOB NOT NULL,
    mode_seq       INTEGER NOT NULL,
    mode_commit    BLOB NOT NULL,
    PRIMARY KEY (drive, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX node_by_name ON node (drive, parent, name) WHERE standing = 0;

CREATE TABLE journal (
    drive     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    node      BLOB NOT NULL,
    commit_id BLOB NOT NULL,                   -- its first 8 bytes are the device
    changed   INTEGER NOT NULL,                -- 1 place, 2 content, 4 mode
    entry     BLOB NOT NULL,                   -- CBOR of `Entry`
    PRIMARY KEY (drive, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX journal_of_node ON journal (drive, node, seq);

-- Which chunks a drive holds, and where they lie. Authority over chunks is per drive: no other table answers for it.
CREATE TABLE chunk (
    drive       INTEGER NOT NULL,
    id          BLOB NOT NULL,
    pack        INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    record_size INTEGER NOT NULL,
    place_index INTEGER NOT NULL,              -- which chunk of the record
    length      INTEGER NOT NULL,              -- plain bytes
    lease_ns    INTEGER NOT NULL,
    PRIMARY KEY (drive, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE manifest (
    drive INTEGER NOT NULL,
    list  BLOB NOT NULL,
    bytes BLOB NOT NULL,                       -- CBOR of `Manifest`
    UNIQUE (drive, list)
) STRICT;

CREATE TABLE connection (
    number      INTEGER PRIMARY KEY,
    time_ns     INTEGER NOT NULL,
    peer        TEXT NOT NULL,
    account     BLOB,
    device      BLOB,
    request     TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    bytes_in    INTEGER NOT NULL,
    bytes_out   INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL
) STRICT;
