-- What healing, retention, garbage collection and scrub need to know.

-- 1: its record was found damaged. The drive counts as lacking it until it is sent again.
ALTER TABLE chunk ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;

CREATE INDEX chunk_damaged ON chunk (drive, id) WHERE damaged = 1;

-- The chunks of a record, and the records of a pack.
CREATE INDEX chunk_by_place ON chunk (pack, offset, place_index);

-- A list that came ahead of its commit is kept until then, as chunks are.
ALTER TABLE manifest ADD COLUMN lease_ns INTEGER NOT NULL DEFAULT 0;
CREATE INDEX manifest_by_lease ON manifest (drive, lease_ns);

-- Before `floor` the journal is thinned. What entries up to `thinned` supersede has been thinned.
ALTER TABLE drive ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE drive ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;

CREATE INDEX node_in_trash ON node (drive, parent, id) WHERE standing = 1;

CREATE INDEX connection_by_time ON connection (time_ns);

-- Packs that no chunk lies in, and since when.
CREATE TABLE condemned_pack (
    pack     INTEGER PRIMARY KEY,
    since_ns INTEGER NOT NULL
) STRICT;
