-- The trash, the last deleted first, and what of a name was deleted in a directory.
CREATE INDEX node_trashed_by_time ON node (drive, place_seq) WHERE standing = 1;
CREATE INDEX node_trashed_by_name ON node (drive, parent, name, place_seq) WHERE standing = 1;
