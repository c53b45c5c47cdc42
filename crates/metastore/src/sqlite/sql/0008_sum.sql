-- The sum of each drive's live nodes (docs/formats/sum.md), kept by every transaction that changes them; NULL: to be counted when the
-- database is opened, or the drive is being removed. And the nodes that do not live though they are not themselves in the trash:
-- those beneath what is.
ALTER TABLE drive ADD COLUMN sum BLOB;

CREATE TABLE uncounted (
    drive INTEGER NOT NULL,
    node  BLOB NOT NULL,
    PRIMARY KEY (drive, node)
) STRICT, WITHOUT ROWID;
