-- The secret by which computers come to an account in the classic form of joining. An account has at most one; the secret itself is
-- stored nowhere.
CREATE TABLE classic_id (
    account BLOB NOT NULL PRIMARY KEY,
    hash    BLOB NOT NULL UNIQUE               -- 32 bytes, made by the service
) STRICT, WITHOUT ROWID;
