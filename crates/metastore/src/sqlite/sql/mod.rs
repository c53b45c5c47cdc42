//! Every statement, by name, and the migrations in order.

/// Each makes format N of format N - 1, N counting from 1. One that was released is never changed.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("0001_first.sql"), include_str!("0002_classic_id.sql")];

/// For every connection. `mmap_size` stays 0: a disk error under a mapping is a signal.
pub(super) const PRAGMAS: &str = "
    PRAGMA busy_timeout = 10000;
    PRAGMA temp_store = MEMORY;
    PRAGMA cell_size_check = ON;
    PRAGMA trusted_schema = OFF";
/// For the connection that writes. Its commits also checkpoint the log, and never wait for a reader (PASSIVE); no other connection
/// ever checkpoints. 4,096 pages are 16 MiB of log.
pub(super) const WRITER_PRAGMAS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -65536;
    PRAGMA wal_autocheckpoint = 4096;
    PRAGMA journal_size_limit = 67108864";
pub(super) const READER_PRAGMAS: &str = "
    PRAGMA query_only = ON;
    PRAGMA cache_size = -8192";

pub(super) const MAKE_VERSION: &str = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT";
pub(super) const VERSION: &str = "SELECT coalesce(max(version), 0) FROM schema_version";
pub(super) const PUT_VERSION: &str = "INSERT INTO schema_version (version) VALUES (?1)";

pub(super) const SETTING: &str = "SELECT value FROM setting WHERE key = ?1";
pub(super) const PUT_SETTING: &str =
    "INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

pub(super) const ACCOUNTS: &str = "SELECT id, name, password_hash, created_ns, disabled FROM account ORDER BY name_key";
pub(super) const ACCOUNT: &str = "SELECT id, name, password_hash, created_ns, disabled FROM account WHERE id = ?1";
pub(super) const ACCOUNT_BY_NAME: &str =
    "SELECT id, name, password_hash, created_ns, disabled FROM account WHERE name_key = ?1";
pub(super) const PUT_ACCOUNT: &str = "
    INSERT INTO account (id, name, name_key, password_hash, created_ns, disabled) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, name_key = excluded.name_key, password_hash = excluded.password_hash,
        created_ns = excluded.created_ns, disabled = excluded.disabled";

pub(super) const CLASSIC_ID: &str = "SELECT hash FROM classic_id WHERE account = ?1";
pub(super) const ACCOUNT_BY_CLASSIC_ID: &str = "
    SELECT id, name, password_hash, created_ns, disabled
    FROM classic_id JOIN account ON account.id = classic_id.account WHERE hash = ?1";
pub(super) const PUT_CLASSIC_ID: &str = "
    INSERT INTO classic_id (account, hash) VALUES (?1, ?2) ON CONFLICT (account) DO UPDATE SET hash = excluded.hash";

pub(super) const DEVICE: &str = "
    SELECT id, account, name, platform, client_version, token_hash, created_ns, last_seen_ns, revoked
    FROM device WHERE id = ?1";
pub(super) const DEVICE_BY_TOKEN: &str = "
    SELECT id, account, name, platform, client_version, token_hash, created_ns, last_seen_ns, revoked
    FROM device WHERE token_hash = ?1";
pub(super) const DEVICES: &str = "
    SELECT id, account, name, platform, client_version, token_hash, created_ns, last_seen_ns, revoked
    FROM device WHERE account = ?1 ORDER BY name, id";
pub(super) const PUT_DEVICE: &str = "
    INSERT INTO device (id, account, name, platform, client_version, token_hash, created_ns, last_seen_ns, revoked)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (id) DO UPDATE SET
        account = excluded.account, name = excluded.name, platform = excluded.platform,
        client_version = excluded.client_version, token_hash = excluded.token_hash, created_ns = excluded.created_ns,
        last_seen_ns = excluded.last_seen_ns, revoked = excluded.revoked";

pub(super) const DRIVE_NUMBER: &str = "SELECT number FROM drive WHERE id = ?1";
pub(super) const DRIVE: &str = "SELECT id, owner, name, generation, head FROM drive WHERE id = ?1";
pub(super) const DRIVES: &str =
    "SELECT id, owner, name, generation, head FROM drive WHERE owner = ?1 ORDER BY name <> 'home', name, number";
pub(super) const PUT_DRIVE: &str = "
    INSERT INTO drive (id, owner, name, generation, head) VALUES (?1, ?2, ?3, ?4, 0)
    ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, name = excluded.name, generation = excluded.generation";
pub(super) const HEAD: &str = "SELECT head FROM drive WHERE number = ?1";
/// Changes no row if the entry is not the next one.
pub(super) const ADVANCE_HEAD: &str = "UPDATE drive SET head = ?2 WHERE number = ?1 AND head = ?2 - 1";

pub(super) const NODE: &str = "
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND id = ?2";
pub(super) const CHILD: &str = "
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND parent = ?2 AND name = ?3 AND standing = 0";
pub(super) const CHILDREN: &str = "
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND parent = ?2 AND standing = 0 ORDER BY name";
pub(super) const NODES: &str = "
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
pub(super) const PUT_NODE: &str = "
    INSERT INTO node (drive, id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
    ON CONFLICT (drive, id) DO UPDATE SET
        parent = excluded.parent, name = excluded.name, standing = excluded.standing, content = excluded.content,
        executable = excluded.executable, place_seq = excluded.place_seq, place_commit = excluded.place_commit,
        content_seq = excluded.content_seq, content_commit = excluded.content_commit,
        mode_seq = excluded.mode_seq, mode_commit = excluded.mode_commit";
pub(super) const LET_WAIT: &str = "
    UPDATE node SET standing = 2 WHERE drive = ?1 AND parent = ?2 AND name = ?3 AND standing = 0 RETURNING id";
pub(super) const LET_STAND: &str = "UPDATE node SET standing = 0 WHERE drive = ?1 AND id = ?2 AND standing = 2";

/// Every directory with an entry after ?2 by another device than ?3 in it, through nodes that are not themselves trashed. Going up
/// from the entries costs what has changed; going down from a directory would cost all that is in it.
pub(super) const CHANGED_DIRECTORIES: &str = "
    WITH RECURSIVE above (id) AS (
        SELECT node.parent
        FROM journal JOIN node ON node.drive = journal.drive AND node.id = journal.node
        WHERE journal.drive = ?1 AND journal.seq > ?2 AND substr(journal.commit_id, 1, 8) <> ?3 AND node.standing <> 1
        UNION
        SELECT node.parent FROM above JOIN node ON node.drive = ?1 AND node.id = above.id WHERE node.standing <> 1
    )
    SELECT id FROM above";
pub(super) const MADE: &str = "SELECT changed FROM journal WHERE drive = ?1 AND node = ?2 AND commit_id = ?3";

pub(super) const ENTRY: &str = "SELECT entry FROM journal WHERE drive = ?1 AND seq = ?2";
pub(super) const ENTRIES: &str = "SELECT entry FROM journal WHERE drive = ?1 AND seq > ?2 ORDER BY seq";
pub(super) const PUT_ENTRY: &str =
    "INSERT INTO journal (drive, seq, node, commit_id, changed, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(super) const CHUNK: &str =
    "SELECT pack, offset, record_size, place_index, length FROM chunk WHERE drive = ?1 AND id = ?2";
pub(super) const HOLDS_CHUNK: &str = "SELECT 1 FROM chunk WHERE drive = ?1 AND id = ?2";
pub(super) const PUT_CHUNK: &str = "
    INSERT INTO chunk (drive, id, pack, offset, record_size, place_index, length, lease_ns)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (drive, id) DO UPDATE SET lease_ns = max(lease_ns, excluded.lease_ns)";
pub(super) const RENEW_CHUNK: &str = "UPDATE chunk SET lease_ns = max(lease_ns, ?3) WHERE drive = ?1 AND id = ?2";

pub(super) const MANIFEST: &str = "SELECT bytes FROM manifest WHERE drive = ?1 AND list = ?2";
pub(super) const HOLDS_MANIFEST: &str = "SELECT 1 FROM manifest WHERE drive = ?1 AND list = ?2";
pub(super) const PUT_MANIFEST: &str =
    "INSERT INTO manifest (drive, list, bytes) VALUES (?1, ?2, ?3) ON CONFLICT (drive, list) DO NOTHING";

pub(super) const CONNECTIONS: &str = "
    SELECT time_ns, peer, account, device, request, outcome, bytes_in, bytes_out, duration_ms
    FROM (SELECT * FROM connection ORDER BY number DESC LIMIT ?1) ORDER BY number";
pub(super) const PUT_CONNECTION: &str = "
    INSERT INTO connection (time_ns, peer, account, device, request, outcome, bytes_in, bytes_out, duration_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(super) const DROP_OLD_CONNECTIONS: &str =
    "DELETE FROM connection WHERE number <= (SELECT max(number) FROM connection) - ?1";
