-- Join codes that are open. A code that was used or has ended is removed when the next one is made, at the latest.
CREATE TABLE join_code (
    locator INTEGER NOT NULL PRIMARY KEY,      -- number of its public beginning
    letters BLOB NOT NULL,                     -- all eight
    account BLOB,                              -- that another device joins; NULL: an account is to be made
    user    TEXT,                              -- login name of the account to be made, if it is settled
    made_ns INTEGER NOT NULL,
    ends_ns INTEGER NOT NULL,
    tries   INTEGER NOT NULL                   -- that are left
) STRICT;
