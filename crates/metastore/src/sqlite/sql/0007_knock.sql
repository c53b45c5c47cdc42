-- New computers that ask to be let in. One that came in, was sent away or has ended is removed when the next one knocks, at the latest.
CREATE TABLE knock (
    locator     INTEGER NOT NULL PRIMARY KEY,  -- number of the public beginning of its code
    secret_hash BLOB NOT NULL UNIQUE,          -- by which the new computer is known
    name        TEXT NOT NULL,
    platform    TEXT NOT NULL,
    client_version TEXT NOT NULL,
    user        TEXT,                          -- login name of the account that it names, if it does
    drive       BLOB,                          -- that its folder shows, if it does
    peer        TEXT NOT NULL,                 -- from where
    made_ns     INTEGER NOT NULL,
    ends_ns     INTEGER NOT NULL,
    message     BLOB NOT NULL,                 -- its part of the exchange
    round       INTEGER NOT NULL,              -- how often it was answered
    refused     BLOB,                          -- the last answer whose code was wrong
    standing    BLOB NOT NULL                  -- waiting, answered or ended
) STRICT;
