//! Every statement, by name, and the migrations in order.

/// Each makes format N of format N - 1, N counting from 1. One that was released is never changed.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("0001_first.sql"),
    include_str!("0002_classic_id.sql"),
    include_str!("0003_upkeep.sql"),
    include_str!("0004_join_code.sql"),
    include_str!("0005_past.sql"),
    include_str!("0006_quota.sql"),
    include_str!("0007_knock.sql"),
    include_str!("0008_sum.sql"),
];

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
pub(super) const HAS_VERSION: &str =
    "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version')";
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

pub(super) const JOIN_CODES: &str =
    "SELECT locator, letters, account, user, made_ns, ends_ns, tries FROM join_code ORDER BY made_ns, locator";
pub(super) const PUT_JOIN_CODE: &str = "
    INSERT INTO join_code (locator, letters, account, user, made_ns, ends_ns, tries) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (locator) DO UPDATE SET
        letters = excluded.letters, account = excluded.account, user = excluded.user, made_ns = excluded.made_ns,
        ends_ns = excluded.ends_ns, tries = excluded.tries";
pub(super) const REMOVE_JOIN_CODE: &str = "DELETE FROM join_code WHERE locator = ?1";

pub(super) const KNOCKS: &str = "
    SELECT locator, secret_hash, name, platform, client_version, user, drive, peer, made_ns, ends_ns, message, round,
        refused, standing
    FROM knock ORDER BY made_ns, locator";
pub(super) const PUT_KNOCK: &str = "
    INSERT OR REPLACE INTO knock (locator, secret_hash, name, platform, client_version, user, drive, peer, made_ns,
        ends_ns, message, round, refused, standing)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
pub(super) const REMOVE_KNOCK: &str = "DELETE FROM knock WHERE locator = ?1";

/// Each removes up to `?2` rows of drive `?1`.
pub(super) const REMOVE_ROWS_OF_DRIVE: [&str; 5] = [
    "DELETE FROM uncounted WHERE drive = ?1 AND node IN (SELECT node FROM uncounted WHERE drive = ?1 LIMIT ?2)",
    "DELETE FROM node WHERE drive = ?1 AND id IN (SELECT id FROM node WHERE drive = ?1 LIMIT ?2)",
    "DELETE FROM journal WHERE drive = ?1 AND seq IN (SELECT seq FROM journal WHERE drive = ?1 LIMIT ?2)",
    "DELETE FROM manifest WHERE drive = ?1 AND list IN (SELECT list FROM manifest WHERE drive = ?1 LIMIT ?2)",
    "DELETE FROM chunk WHERE drive = ?1 AND id IN (SELECT id FROM chunk WHERE drive = ?1 LIMIT ?2)",
];
pub(super) const REMOVE_DRIVE: &str = "DELETE FROM drive WHERE number = ?1";
/// Each removes what belongs to account `?1`, the account itself last.
pub(super) const REMOVE_OF_ACCOUNT: [&str; 4] = [
    "DELETE FROM join_code WHERE account = ?1",
    "DELETE FROM classic_id WHERE account = ?1",
    "DELETE FROM device WHERE account = ?1",
    "DELETE FROM account WHERE id = ?1",
];
pub(super) const QUOTA: &str = "
    SELECT (SELECT coalesce(sum(used_bytes), 0) FROM drive WHERE owner = ?1), quota_bytes FROM account WHERE id = ?1";
pub(super) const PUT_QUOTA: &str = "UPDATE account SET quota_bytes = ?2 WHERE id = ?1";

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
    INSERT INTO drive (id, owner, name, generation, head, sum) VALUES (?1, ?2, ?3, ?4, 0, zeroblob(40))
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

pub(super) const CHUNK: &str = "
    SELECT pack, offset, record_size, place_index, length, lease_ns, damaged FROM chunk WHERE drive = ?1 AND id = ?2";
pub(super) const HOLDS_CHUNK: &str = "SELECT 1 FROM chunk WHERE drive = ?1 AND id = ?2 AND damaged = 0";
/// A chunk that counts as damaged takes the new place, and is whole again by that.
pub(super) const PUT_CHUNK: &str = "
    INSERT INTO chunk (drive, id, pack, offset, record_size, place_index, length, lease_ns)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (drive, id) DO UPDATE SET
        lease_ns = max(lease_ns, excluded.lease_ns), damaged = 0,
        pack = iif(damaged, excluded.pack, pack), offset = iif(damaged, excluded.offset, offset),
        record_size = iif(damaged, excluded.record_size, record_size),
        place_index = iif(damaged, excluded.place_index, place_index), length = iif(damaged, excluded.length, length)";
pub(super) const HOLDS_DAMAGED: &str = "SELECT 1 FROM chunk WHERE drive = ?1 AND damaged = 1 LIMIT 1";
pub(super) const RENEW_CHUNK: &str = "UPDATE chunk SET lease_ns = max(lease_ns, ?3) WHERE drive = ?1 AND id = ?2";

pub(super) const MANIFEST: &str = "SELECT bytes FROM manifest WHERE drive = ?1 AND list = ?2";
pub(super) const HOLDS_MANIFEST: &str = "SELECT 1 FROM manifest WHERE drive = ?1 AND list = ?2";
pub(super) const PUT_MANIFEST: &str = "
    INSERT INTO manifest (drive, list, bytes, lease_ns) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (drive, list) DO UPDATE SET lease_ns = max(lease_ns, excluded.lease_ns)";

pub(super) const CONNECTIONS: &str = "
    SELECT time_ns, peer, account, device, request, outcome, bytes_in, bytes_out, duration_ms
    FROM (SELECT * FROM connection ORDER BY number DESC LIMIT ?1) ORDER BY number";
pub(super) const CONNECTIONS_AFTER: &str = "
    SELECT time_ns, peer, account, device, request, outcome, bytes_in, bytes_out, duration_ms, number
    FROM connection WHERE number > ?1 ORDER BY number LIMIT ?2";
pub(super) const PUT_CONNECTION: &str = "
    INSERT INTO connection (time_ns, peer, account, device, request, outcome, bytes_in, bytes_out, duration_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(super) const DROP_OLD_CONNECTIONS: &str =
    "DELETE FROM connection WHERE number <= (SELECT max(number) FROM connection) - ?1";

pub(super) const EVERY_DRIVE: &str = "SELECT id, owner, name, generation, head FROM drive ORDER BY number";
pub(super) const CHUNKS_AFTER: &str = "
    SELECT pack, offset, record_size, place_index, length, lease_ns, damaged, id
    FROM chunk WHERE drive = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
pub(super) const PACK_AFTER: &str = "SELECT pack FROM chunk WHERE pack > ?1 ORDER BY pack LIMIT 1";
pub(super) const LAST_PACK: &str = "
    SELECT max(pack) FROM (SELECT max(pack) AS pack FROM chunk UNION ALL SELECT max(pack) FROM condemned_pack)";
pub(super) const CHUNKS_OF_PACK: &str = "
    SELECT chunk.pack, chunk.offset, chunk.record_size, chunk.place_index, chunk.length, chunk.lease_ns, chunk.damaged,
        chunk.id, drive.id
    FROM chunk JOIN drive ON drive.number = chunk.drive
    WHERE chunk.pack = ?1 ORDER BY chunk.offset, chunk.place_index, chunk.drive, chunk.id";
pub(super) const MARK_DAMAGED: &str = "
    UPDATE chunk SET damaged = 1 WHERE pack = ?1 AND offset = ?2 AND record_size = ?3 AND damaged = 0";
pub(super) const MARK_SOUND: &str = "
    UPDATE chunk SET damaged = 0 WHERE pack = ?1 AND offset = ?2 AND record_size = ?3 AND damaged = 1";
pub(super) const MOVE_RECORD: &str = "
    UPDATE chunk SET pack = ?4, offset = ?5, record_size = ?6 WHERE pack = ?1 AND offset = ?2 AND record_size = ?3";
pub(super) const DROP_CHUNK: &str = "DELETE FROM chunk WHERE drive = ?1 AND id = ?2";

pub(super) const MANIFEST_ROW: &str = "SELECT list, lease_ns, bytes FROM manifest WHERE drive = ?1 AND list = ?2";
pub(super) const MANIFESTS_AFTER: &str = "
    SELECT list, lease_ns, bytes FROM manifest WHERE drive = ?1 AND list > ?2 ORDER BY list LIMIT ?3";
pub(super) const LISTS_LEASED: &str = "SELECT list FROM manifest WHERE drive = ?1 AND lease_ns > ?2";
pub(super) const DROP_MANIFEST: &str = "DELETE FROM manifest WHERE drive = ?1 AND list = ?2";

pub(super) const THINNED: &str = "SELECT floor, thinned FROM drive WHERE number = ?1";
pub(super) const PUT_THINNED: &str = "UPDATE drive SET thinned = max(thinned, ?2) WHERE number = ?1";
pub(super) const RAISE_FLOOR: &str = "UPDATE drive SET floor = max(floor, ?2) WHERE number = ?1";
pub(super) const ENTRIES_OF: &str = "
    SELECT entry FROM journal WHERE drive = ?1 AND node = ?2 AND seq < ?3 ORDER BY seq";
pub(super) const PUT_THINNED_ENTRY: &str = "UPDATE journal SET changed = ?3, entry = ?4 WHERE drive = ?1 AND seq = ?2";
pub(super) const DROP_ENTRY: &str = "DELETE FROM journal WHERE drive = ?1 AND seq = ?2";
pub(super) const LAST_ENTRY_OF: &str = "SELECT max(seq) FROM journal WHERE drive = ?1 AND node = ?2";
pub(super) const DROP_ENTRIES_OF: &str = "DELETE FROM journal WHERE drive = ?1 AND node = ?2";
pub(super) const DROP_NODE: &str = "DELETE FROM node WHERE drive = ?1 AND id = ?2";
pub(super) const TRASHED: &str = "
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND standing = 1 AND (parent, id) > (?2, ?3) ORDER BY parent, id LIMIT ?4";
pub(super) const ANY_CHILDREN: &str = "
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND parent = ?2 AND standing = 1
    UNION ALL
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND parent = ?2 AND standing = 0
    LIMIT ?3";

pub(super) const VERSIONS: &str = "
    SELECT entry FROM journal WHERE drive = ?1 AND node = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4";
pub(super) const TRASHED_CHILDREN: &str = "
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND parent = ?2 AND name = ?3 AND standing = 1 ORDER BY place_seq DESC LIMIT ?4";
pub(super) const TRASHED_BEFORE: &str = "
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND standing = 1 AND place_seq < ?2 ORDER BY place_seq DESC LIMIT ?3";
pub(super) const ENTRIES_BEFORE: &str =
    "SELECT entry FROM journal WHERE drive = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3";
pub(super) const CHANGED_SINCE: &str = "
    SELECT DISTINCT node FROM journal WHERE drive = ?1 AND seq > ?2 AND node > ?3 ORDER BY node LIMIT ?4";

pub(super) const SUM: &str = "SELECT sum FROM drive WHERE number = ?1";
pub(super) const PUT_SUM: &str = "UPDATE drive SET sum = ?2 WHERE number = ?1";
pub(super) const FORGET_SUM: &str = "UPDATE drive SET sum = NULL WHERE number = ?1 AND sum IS NOT NULL";
pub(super) const DRIVES_WITHOUT_SUM: &str = "SELECT number FROM drive WHERE sum IS NULL ORDER BY number";
pub(super) const DRIVE_WITHOUT_SUM: &str = "SELECT number FROM drive WHERE sum IS NULL LIMIT 1";
pub(super) const IS_UNCOUNTED: &str = "SELECT 1 FROM uncounted WHERE drive = ?1 AND node = ?2";
pub(super) const PUT_UNCOUNTED: &str = "INSERT INTO uncounted (drive, node) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
pub(super) const DROP_UNCOUNTED: &str = "DELETE FROM uncounted WHERE drive = ?1 AND node = ?2";
pub(super) const COUNT_ALL: &str = "DELETE FROM uncounted WHERE drive = ?1";
pub(super) const UNCOUNTED_AFTER: &str = "
    SELECT node FROM uncounted WHERE drive = ?1 AND node > ?2 ORDER BY node LIMIT ?3";
pub(super) const LIVE_NODES: &str = "
    SELECT id, parent, name, standing, content, executable,
        place_seq, place_commit, content_seq, content_commit, mode_seq, mode_commit
    FROM node WHERE drive = ?1 AND id >= ?2 AND id <= ?3 AND standing <> 1
        AND NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.drive = node.drive AND uncounted.node = node.id)
    ORDER BY id LIMIT ?4";

pub(super) const CONDEMNED_PACKS: &str = "SELECT pack, since_ns FROM condemned_pack ORDER BY pack";
pub(super) const CONDEMN_PACK: &str =
    "INSERT INTO condemned_pack (pack, since_ns) VALUES (?1, ?2) ON CONFLICT (pack) DO NOTHING";
pub(super) const SPARE_PACK: &str = "DELETE FROM condemned_pack WHERE pack = ?1";
pub(super) const DROP_CONNECTIONS_BEFORE: &str = "
    DELETE FROM connection WHERE number IN (SELECT number FROM connection WHERE time_ns < ?1 ORDER BY time_ns LIMIT ?2)";

/// Lists what is wrong with the file, at most 100 findings; one row `ok` if nothing is.
pub(super) const INTEGRITY: &str = "PRAGMA integrity_check(100)";
pub(super) const COPY_TO: &str = "VACUUM INTO ?1";
